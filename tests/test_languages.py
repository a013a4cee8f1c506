"""The language of a video: given, heard or read from its subtitles, and kept."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from scenebook.db import migrate, videos, words
from scenebook.errors import InvalidInput
from scenebook.languages import CONFIGURATIONS, code_of, configuration_heard, configuration_of
from scenebook.model import Stage
from scenebook.settings import Settings
from scenebook.subtitles import subtitles_language
from scenebook.videos import add_video, get_video, retry_video
from tests import clips
from tests.commands import Scenebook
from tests.openai_server import TRANSCRIPTIONS, Reply, an_openai_server, heard
from tests.pipelines import Pipeline, a_pipeline
from tests.rows import a_scene, a_video, an_owner


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene of a second in which something is to be heard."""
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    clips.write(path, clips.still(1, 25), sound=clips.tone(1.0))
    return path


def test_a_code_names_a_configuration_in_any_spelling() -> None:
    assert [configuration_of(code) for code in ("en", "DE", "pt-BR", " nb_NO ", "ja")] == [
        "english", "german", "portuguese", "norwegian", "simple",
    ]  # fmt: skip
    assert {code_of(name) for name in CONFIGURATIONS.values()} >= {"en", "de", "no", "yi"}
    assert code_of("simple") is None
    assert code_of(None) is None


@pytest.mark.parametrize("code", ["", "english", "xx", "e", "\x00", "en;drop"])
def test_another_code_is_refused_with_an_example(code: str) -> None:
    with pytest.raises(InvalidInput, match="as en or de"):
        configuration_of(code)


def test_what_a_model_calls_a_language_is_understood_or_left_out() -> None:
    assert [configuration_heard(name) for name in ("en", "English", "german", "haw", "", None)] == [
        "english", "english", "german", None, None, None,
    ]  # fmt: skip


def test_every_configuration_is_known_to_the_server(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        known = {row[0] for row in connection.execute("select cfgname from pg_ts_config")}
    assert set(CONFIGURATIONS.values()) <= known


@pytest.mark.parametrize(
    ("content", "language"),
    [
        (b"WEBVTT\nKind: captions\nLanguage: de\n\n00:00.000 --> 00:01.000\nHallo\n", "de"),
        ("\ufeffWEBVTT - x\r\nLanguage: pt-BR\r\n\r\n".encode(), "pt-BR"),
        (b"WEBVTT\n\n00:00.000 --> 00:01.000\nLanguage: de\n", None),
        (b"1\n00:00:00,000 --> 00:00:01,000\nLanguage: de\n", None),
    ],
)
def test_the_header_of_webvtt_may_say_the_language(content: bytes, language: str | None) -> None:
    assert subtitles_language(content) == language


def languages(url: str, owner: UUID) -> set[tuple[str | None, str | None]]:
    with psycopg.connect(url) as connection:
        return set(
            connection.execute(
                "select v.language, s.language from public.videos as v join public.scenes as s"
                " on s.video_id = v.id where v.owner_id = %s",
                (owner,),
            ).fetchall()
        )


def test_the_subtitles_language_becomes_the_scenes_and_a_given_one_comes_first(
    pipeline: Pipeline, database_url: str, alice: UUID, bob: UUID, film: Path, tmp_path: Path
) -> None:
    subtitles = tmp_path / "words.vtt"
    subtitles.write_text("WEBVTT\nLanguage: de\n\n00:00.000 --> 00:01.000\nDie Häuser am Fluss\n")
    video = pipeline.index(film, owner_id=alice, transcript=subtitles)
    assert video.language == "german"
    tools = pipeline.tools
    given = add_video(
        tools.db,
        tools.storage,
        owner_id=bob,
        path=film,
        transcript=subtitles,
        language=configuration_of("en"),
    ).video
    pipeline.work()
    assert languages(database_url, alice) == {("german", "german")}
    assert languages(database_url, bob) == {("english", "english")}
    with tools.db.transaction(owner_id=alice) as tx:
        (match,) = words.search_words(tx, owner_id=alice, text="Haus", limit=10)
        assert match.matched_ms == 0
        assert words.corrections(tx, owner_id=alice, text="Flus") == {"flus": ["fluss"]}
    with tools.db.transaction(owner_id=bob) as tx:
        assert words.search_words(tx, owner_id=bob, text="Haus", limit=10) == []

    retry_video(tools.db, owner_id=alice, video_id=video.id, stage=Stage.SEGMENT)
    pipeline.work()
    assert languages(database_url, alice) == {("german", "german")}
    with tools.db.transaction(owner_id=alice) as tx:
        assert words.corrections(tx, owner_id=alice, text="Flus") == {"flus": ["fluss"]}
    assert get_video(tools.db, owner_id=bob, video_id=given.id).language == "english"


def test_a_language_that_is_known_is_not_changed_by_what_is_heard(
    pipeline: Pipeline, alice: UUID, bob: UUID, film: Path
) -> None:
    tools = pipeline.tools
    for owner in (alice, bob):
        added = add_video(tools.db, tools.storage, owner_id=owner, path=film).video
        with tools.db.transaction(owner_id=owner) as tx:
            for language in ("german", "english"):
                videos.set_language(tx, owner_id=owner, video_id=added.id, language=language)
        assert get_video(tools.db, owner_id=owner, video_id=added.id).language == "german"


def test_a_speech_models_language_is_kept_and_its_words_are_not_paid_for_again(
    settings: Settings, database_url: str, alice: UUID, bob: UUID, film: Path
) -> None:
    with an_openai_server() as server:
        hearing = settings.model_copy(
            update={
                "transcription_provider": "openai",
                "openai_base_url": server.url,
                "openai_api_key": SecretStr("key"),
            }
        )
        german = heard((0.0, 1.0, "Die Häuser am Fluss."))
        for told in ({"language": "german"}, {}):
            server.script(TRANSCRIPTIONS, Reply(german.body | told))
        with a_pipeline(hearing) as pipeline:
            video = pipeline.index(film, owner_id=alice)
            assert video.language == "german"
            assert pipeline.index(film, owner_id=bob).language is None
            retry_video(
                pipeline.tools.db, owner_id=alice, video_id=video.id, stage=Stage.TRANSCRIBE
            )
            pipeline.work()
        assert len(server.asked(TRANSCRIPTIONS)) == 2
    assert languages(database_url, alice) == {("german", "german")}
    assert languages(database_url, bob) == {(None, None)}


def test_index_takes_a_language_and_refuses_what_is_none(tmp_path: Path) -> None:
    command = Scenebook(tmp_path / "data")
    assert "as en or de" in command.error("index", str(tmp_path), "--language", "klingon")


def test_words_of_a_database_before_languages_are_still_found(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url, "0004")
    with psycopg.connect(empty_database_url) as connection:
        owners = sorted(an_owner(connection) for _ in range(2))
        for owner in owners:
            video = a_video(connection, owner=owner)
            a_scene(connection, owner=owner, video=video, transcript="Good morning 42")
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        for owner in owners:
            rows = connection.execute(
                "select text_rank from public.search_scenes_by_text(%s, filter_user_id => %s)",
                ("Mornin", owner),
            ).fetchall()
            assert len(rows) == 1
        spelt = connection.execute(
            "select owner_id, word from public.video_words where spelt order by owner_id, word"
        ).fetchall()
        assert spelt == [(owner, word) for owner in owners for word in ("good", "morning")]
        connection.execute("update public.scenes set transcript = 'Gute Tage', language = 'german'")
        stored = connection.execute("select distinct search_text::text from public.scenes")
        assert stored.fetchall() == [("'gut':1 'tag':2",)]

"""Search by words: what is typed finds the scenes that hold it, of one owner, in any language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenebook.db import words
from scenebook.db.engine import Database, Role
from scenebook.errors import InvalidQuery
from tests.conftest import ALICE, BOB
from tests.postgres import Server, session
from tests.rows import a_scene, a_video, an_owner


@pytest.fixture(scope="module")
def database_url(postgres_server: Server) -> Iterator[str]:
    """One database for all tests here; each has owners of its own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def database(database_url: str) -> Iterator[Database]:
    """Connections as the API has them."""
    made = Database(database_url, role=Role.API, pool_size=1)
    yield made
    made.close()


@pytest.fixture
def alice(database_url: str) -> UUID:
    """An owner of the test's own."""
    with psycopg.connect(database_url) as connection:
        return an_owner(connection)


@pytest.fixture
def bob(database_url: str) -> UUID:
    """Another owner, who must see nothing of the first."""
    with psycopg.connect(database_url) as connection:
        return an_owner(connection)


Library = Callable[..., list[UUID]]


@pytest.fixture(scope="module")
def worker(database_url: str) -> Iterator[Database]:
    """Connections as the workers have them."""
    made = Database(database_url, role=Role.WORKER, pool_size=1)
    yield made
    made.close()


@pytest.fixture
def a_film(database_url: str, worker: Database) -> Library:
    """Makes a video whose scenes say these texts, as the pipeline leaves it; returns the scenes."""

    def film(owner: UUID, *texts: str, language: str | None = None) -> list[UUID]:
        with psycopg.connect(database_url) as connection:
            video = a_video(connection, owner=owner)
            connection.execute(
                "update public.videos set language = %s where id = %s", (language, video)
            )
            scenes = []
            for index, text in enumerate(texts):
                scene = a_scene(connection, owner=owner, video=video, index=index, transcript=text)
                connection.execute(
                    "update public.scenes set language = %s where id = %s", (language, scene)
                )
                scenes.append(scene)
        with worker.transaction(owner_id=owner) as tx:
            words.replace_all(tx, owner_id=owner, video_id=video, generation=1)
        return scenes

    return film


def found(database: Database, owner: UUID, text: str, **how: Any) -> list[UUID]:
    with database.transaction(owner_id=owner) as tx:
        rows = words.search_words(tx, owner_id=owner, text=text, **({"limit": 100} | how))
    return [row.scene_id for row in rows]


def marked(database: Database, owner: UUID, text: str, scene: UUID) -> tuple[str, list[str]]:
    with database.transaction(owner_id=owner) as tx:
        one = words.highlights(tx, owner_id=owner, text=text, scene_ids=[scene])[scene]
    return one.text, [one.text[start:end] for start, end in one.ranges]


def corrected(database: Database, owner: UUID, text: str) -> dict[str, list[str]]:
    with database.transaction(owner_id=owner) as tx:
        return words.corrections(tx, owner_id=owner, text=text)


def test_words_phrases_exclusions_and_alternatives(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "A red boat on the red sea", language="english")
    red, sea, dog = a_film(
        alice, "A red boat on the sea", "The sea is red today", "A dog barks", language="english"
    )
    assert set(found(database, alice, "red sea")) == {red, sea}
    assert found(database, alice, '"red boat"') == [red]
    assert found(database, alice, '"boat red"') == []
    assert found(database, alice, "sea -boat") == [sea]
    assert set(found(database, alice, "boat or dogs")) == {red, dog}
    assert found(database, alice, "cat") == []


def test_the_scene_with_more_of_the_words_comes_first_and_ranks_lie_between_0_and_1(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "fish")
    one, three = a_film(alice, "fish and some other words", "fish, fish, fish")
    with database.transaction(owner_id=alice) as tx:
        rows = words.search_words(tx, owner_id=alice, text="fish", limit=10)
    assert [row.scene_id for row in rows] == [three, one]
    assert 1 > rows[0].text_rank > rows[1].text_rank > 0
    assert (rows[0].scene_index, rows[0].start_ms, rows[0].end_ms) == (1, 1000, 2000)


def test_each_scene_is_asked_in_its_own_language(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "Häuser and houses")
    (german,) = a_film(alice, "Die Häuser stehen am Fluss", language="german")
    (english,) = a_film(alice, "The houses stand by the river", language="english")
    (plain,) = a_film(alice, "houses Häuser")
    assert found(database, alice, "Haus") == [german]
    assert found(database, alice, "house") == [english]
    assert set(found(database, alice, "HÄUSER")) == {german, plain}
    assert set(found(database, alice, "houses")) == {english, plain}
    assert found(database, alice, "the") == []  # a stop word in English; no word elsewhere


def test_a_language_that_the_server_does_not_know_is_matched_as_it_is_written(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "nuqneH", language="klingon")
    (scene,) = a_film(alice, "nuqneH houses", language="klingon")
    assert found(database, alice, "NUQNEH") == [scene]
    assert found(database, alice, "housing") == []
    assert marked(database, alice, "houses", scene)[1] == ["houses"]


@pytest.mark.parametrize(
    "typo",
    ["resturant", "restaurrant", "restsurant", "restuarant", "estaurant", "erstaurant"],
)
def test_one_wrong_letter_is_forgiven(
    database: Database, alice: UUID, bob: UUID, a_film: Library, typo: str
) -> None:
    a_film(bob, f"{typo} of bob")
    (scene,) = a_film(alice, "The restaurant serves fish", language="english")
    assert found(database, alice, typo) == [scene]
    assert found(database, alice, f"{typo} fish") == [scene]
    assert corrected(database, alice, f"Fish {typo.upper()}") == {typo: ["restaurant"]}
    assert marked(database, alice, typo, scene)[1] == ["restaurant"]


def test_what_is_quoted_left_out_short_known_or_two_letters_off_is_taken_as_it_is(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "sonst nichts")
    (scene,) = a_film(alice, "The restaurant has one cat there", language="english")
    for text in (
        '"resturant"',
        "-resturant cat",
        "rsturant",
        "cxt",
        "restaurants",
        "their",
        '"rest',
    ):
        assert corrected(database, alice, text) == {}
    assert found(database, alice, '"resturant"') == []
    assert found(database, alice, "cat -resturant") == [scene]
    assert found(database, alice, "cats") == [scene]  # not corrected to anything: its stem is known


def test_another_owners_words_correct_nothing(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "The restaurant serves fish")
    a_film(alice, "Something else")
    assert corrected(database, alice, "resturant") == {}
    with database.transaction(owner_id=alice) as tx:
        assert words.corrections(tx, owner_id=bob, text="resturant") == {}
        assert words.search_words(tx, owner_id=bob, text="fish", limit=10) == []


def test_corrections_name_the_words_of_most_videos_first_and_at_most_three(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    for _ in range(2):
        a_film(alice, "lights")
    a_film(alice, "nights rights fights tights")
    a_film(bob, "sights sights", "sights")
    assert corrected(database, alice, "xights") == {"xights": ["lights", "fights", "nights"]}


def test_a_deleted_video_takes_its_words_along(
    database_url: str, database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    for owner in (alice, bob):
        a_film(owner, "restaurant")
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from public.videos where owner_id = %s", (alice,))
        left = connection.execute(
            "select owner_id from public.video_words where owner_id = any (%s)", ([alice, bob],)
        ).fetchall()
    assert left == [(bob,)]
    assert corrected(database, alice, "resturant") == {}
    assert found(database, alice, "restaurant") == []


def test_three_videos_are_enough_to_know_a_word_by(
    database_url: str, alice: UUID, bob: UUID, a_film: Library
) -> None:
    for _ in range(5):
        a_film(alice, "same")
    a_film(bob, "same")
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select count(*) from public.video_words where owner_id = %s", (alice,)
        ).fetchone()
    assert row == (3,)


def test_readers_see_one_generation_and_no_video_that_is_being_deleted(
    database_url: str, database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    (old,) = a_film(alice, "fish")
    (other,) = a_film(bob, "fish")
    with psycopg.connect(database_url) as connection:
        (video,) = connection.execute(
            "select video_id from public.scenes where id = %s", (old,)
        ).fetchone() or (None,)
        new = a_scene(connection, owner=alice, video=video, generation=2, transcript="fish")
    assert found(database, alice, "fish") == [old]
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.videos set generation = 2 where id = %s", (video,))
    assert found(database, alice, "fish") == [new]
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.videos set status = 'deleting' where id = %s", (video,))
    assert found(database, alice, "fish") == []
    with database.transaction(owner_id=alice) as tx:
        assert words.highlights(tx, owner_id=alice, text="fish", scene_ids=[old, new, other]) == {}
    assert found(database, bob, "fish") == [other]


def test_filters_and_pages(
    database_url: str, database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    scenes = sorted(a_film(alice, *["fish"] * 5))
    a_film(alice, "fish")
    a_film(bob, "fish")
    assert found(database, alice, "fish", scene_ids=scenes) == scenes
    assert found(database, alice, "fish", scene_ids=[]) == []
    assert found(database, alice, "fish", scene_ids=scenes, limit=2, offset=2) == scenes[2:4]
    with database.transaction(owner_id=alice) as tx:
        first = words.search_words(tx, owner_id=alice, text="fish", limit=2, scene_ids=scenes)
    last = (first[-1].text_rank, first[-1].scene_id)
    assert found(database, alice, "fish", scene_ids=scenes, after=last) == scenes[2:]
    assert set(found(database, alice, "fish", video_id=first[0].video_id)) == set(scenes)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "update public.scenes set created_at = now() + interval '1 hour' where id = %s",
            (scenes[0],),
        )
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert found(database, alice, "fish", scene_ids=scenes, as_of=soon) == scenes[1:]


def test_the_line_with_most_of_the_words_is_the_matched_time(
    database_url: str, database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    a_film(bob, "red fish")
    scene, silent = a_film(alice, "Red. A boat. Red fish swim.", "red fish", language="english")
    with psycopg.connect(database_url) as connection:
        for ordinal, line in enumerate(["Red.", "A boat.", "Red fishes swim."]):
            connection.execute(
                "insert into public.utterances (owner_id, video_id, generation, ordinal, scene_id,"
                " start_ms, end_ms, text, source) select owner_id, video_id, 1, %s, id, %s, %s, %s,"
                " 'subtitles' from public.scenes where id = %s",
                (ordinal, 100 * ordinal, 100 * ordinal + 90, line, scene),
            )
    with database.transaction(owner_id=alice) as tx:
        rows = words.search_words(tx, owner_id=alice, text="red fish", limit=10)
        assert {row.scene_id: row.matched_ms for row in rows} == {scene: 200, silent: 1000}
        (boat,) = words.search_words(tx, owner_id=alice, text="boat", limit=10)
        shown = words.highlights(tx, owner_id=alice, text="red", scene_ids=[scene, silent])
    assert boat.matched_ms == 100
    assert [shown[scene].matched_ms, shown[silent].matched_ms] == [0, 1000]


@pytest.mark.parametrize(
    "text",
    [
        "fish <b>&amp; chips</b> <!-- x --> http://a.b/c?d=e&f a@b.cd 3.5 state-of-the-art don't",
        'fish "quoted" \\ \\u0041 % $1 🐟👩‍👩‍👧 ﬁsh İstanbul ß \u202e rtl \u0301',
        "fish\tand\u00a0spaces\u2028lines  twice ",
    ],
)
def test_highlights_keep_every_character(
    database: Database, alice: UUID, bob: UUID, a_film: Library, text: str
) -> None:
    a_film(bob, text)
    for language in (None, "english"):
        (scene,) = a_film(alice, text, language=language)
        assert marked(database, alice, "fish", scene) == (text, ["fish"])


def test_marks_in_a_transcript_do_not_pass_for_ours(
    database: Database, alice: UUID, bob: UUID, a_film: Library
) -> None:
    (other,) = a_film(bob, "fish")
    (scene,) = a_film(alice, "\ue000no\ue001 fish \ue001")
    assert marked(database, alice, "fish", scene) == ("no fish ", ["fish"])
    with database.transaction(owner_id=alice) as tx:
        assert words.highlights(tx, owner_id=alice, text="fish", scene_ids=[other, uuid4()]) == {}


@pytest.mark.parametrize("text", ["", " \n\t", "x" * 2001])
def test_a_query_without_words_or_too_long_is_refused(
    database_url: str, database: Database, alice: UUID, text: str
) -> None:
    with pytest.raises(InvalidQuery):
        found(database, alice, text)
    for call in (
        "public.search_scenes_by_text(%(text)s, filter_user_id => %(owner)s)",
        "public.highlight_scenes('{}', %(text)s, %(owner)s)",
    ):
        refused(database_url, call, owner=alice, text=text)


@pytest.mark.parametrize(
    "call",
    [
        "public.search_scenes_by_text('x')",
        "public.search_scenes_by_text(null, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', 0, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', 1001, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', null, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', match_offset => -1, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', match_offset => null, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', after_text_rank => 1, filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', after_scene_id => %(owner)s,"
        " filter_user_id => %(owner)s)",
        "public.search_scenes_by_text('x', after_text_rank => 'NaN', after_scene_id => %(owner)s,"
        " filter_user_id => %(owner)s)",
        "public.highlight_scenes('{}', 'x', null)",
        "public.highlight_scenes(null, 'x', %(owner)s)",
        "public.highlight_scenes(array_fill(%(owner)s::uuid, array[1001]), 'x', %(owner)s)",
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(
    database_url: str, alice: UUID, call: str
) -> None:
    refused(database_url, call, owner=alice)


def refused(url: str, call: str, **values: Any) -> None:
    with (
        session(url, role="authenticated", owner=values["owner"]) as connection,
        pytest.raises(psycopg.Error) as refusal,
    ):
        connection.execute(f"select * from {call}", values)
    assert refusal.value.sqlstate == "PT400"
    assert refusal.value.diag.message_hint


ODD = st.text(alphabet="fish é&|!():*'\"\\-<>%_@./0\x00\ud800\ue000🐟or ", max_size=40)
ODD |= st.text('--!"(< ', min_size=40, max_size=99)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=ODD | st.text(max_size=60) | st.text("äöü🐟", min_size=1500, max_size=2000))
def test_no_query_breaks_anything(database: Database, library: None, text: str) -> None:
    for owner in (ALICE, BOB):
        try:
            ids = found(database, owner, text)
            with database.transaction(owner_id=owner) as tx:
                shown = words.highlights(tx, owner_id=owner, text=text, scene_ids=ids)
                words.corrections(tx, owner_id=owner, text=text)
        except InvalidQuery:
            assert not text.replace("\x00", "").strip()
            continue
        assert {one.text for one in shown.values()} <= {f"fish é of {owner}"}


@pytest.fixture(scope="module")
def library(database_url: str) -> None:
    """A scene of either owner in two languages."""
    with psycopg.connect(database_url) as connection:
        for owner in (ALICE, BOB):
            video = a_video(connection, owner=an_owner(connection, owner))
            for index, language in enumerate(("english", None)):
                scene = a_scene(
                    connection,
                    owner=owner,
                    video=video,
                    index=index,
                    transcript=f"fish é of {owner}",
                )
                connection.execute(
                    "update public.scenes set language = %s where id = %s", (language, scene)
                )

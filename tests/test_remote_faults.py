"""Services that fail in every way: a video still settles, says why, and is completed later."""

from __future__ import annotations

import gzip
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from scenebook.db.paid_calls import PaidCallsOf
from scenebook.descriptions import Budget, describe_scene
from scenebook.errors import ConfigurationError, ScenebookError, Unavailable
from scenebook.model import Channel, ChannelState, ChannelStatus, Scene, Stage, VideoStatus
from scenebook.query_encoders import LoadedModels
from scenebook.remote import RemoteModels
from scenebook.remote_client import ANSWER_BYTES
from scenebook.search import Query, search
from scenebook.settings import Settings, load
from scenebook.text_vectors import embed_each
from scenebook.videos import get_video, retry_video, scenes_of
from tests import clips
from tests.openai_server import (
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    TRANSCRIPTIONS,
    OpenAIServer,
    Reply,
    Request,
    an_openai_server,
    chat,
    described,
    failure,
    heard,
    vector,
)
from tests.pipelines import a_pipeline
from tests.test_remote import Kept

SCENES = 5
ATTEMPTS = 2
# A service that fails so often in a row is left alone by the job (scenebook.descriptions).
IN_A_ROW = 3
WORDS = "WEBVTT\n\n" + "".join(
    f"00:0{second}.100 --> 00:0{second}.900\nWords of scene {second}.\n\n"
    for second in range(SCENES)
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five still scenes of a second each, with a tone that no model has heard yet."""
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    pictures = [picture for seed in range(SCENES) for picture in clips.still(seed, 25)]
    clips.write(path, pictures, sound=clips.tone(float(SCENES)))
    return path


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something is said in every scene."""
    path = tmp_path_factory.mktemp("words") / "words.vtt"
    path.write_text(WORDS)
    return path


@pytest.fixture
def paying(settings: Settings, openai: OpenAIServer) -> Settings:
    """Descriptions, text vectors and, without subtitles, words come from the service."""
    return settings.model_copy(
        update={
            "openai_base_url": openai.url,
            "openai_max_retries": 0,
            "openai_timeout_s": 0.7,
            "text_embedding_provider": "openai",
            "transcription_provider": "openai",
            "clip_enabled": True,
            "clip_model_name": "fake",
            "job_max_attempts": ATTEMPTS,
        }
    )


def states(scenes: list[Scene], channel: Channel) -> list[ChannelState]:
    return [one for scene in scenes for one in scene.channels if one.channel is channel]


def reasons(scenes: list[Scene], channel: Channel) -> dict[ChannelStatus, set[str]]:
    """Why, for each status that a channel has in some scene."""
    found: dict[ChannelStatus, set[str]] = {}
    for one in states(scenes, channel):
        found.setdefault(one.status, set()).add(one.error or "")
    return found


# What the service answers, the reason that scenes give, and how many calls each model gets.
FAULTS: dict[str, tuple[Reply, str, int, int]] = {
    "limited": (failure(429, "slow down"), "limiting requests", ATTEMPTS * IN_A_ROW, ATTEMPTS),
    "reset": (Reply(reset=True), "cannot be reached", ATTEMPTS * IN_A_ROW, ATTEMPTS),
    "hanging": (Reply(hang=True), "did not answer within", ATTEMPTS * IN_A_ROW, ATTEMPTS),
    "proxy": (Reply(b"<html>Sign in</html>"), "does not follow", ATTEMPTS * SCENES, ATTEMPTS),
    "wrong key": (failure(401, "no such key"), "OPENAI_API_KEY", IN_A_ROW, 1),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_service_costs_a_video_its_channels_only_and_is_asked_a_bounded_number_of_times(
    paying: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path, fault: str
) -> None:
    reply, says, chats, embeddings = FAULTS[fault]
    for path in (CHAT, EMBEDDINGS):
        openai.always(path, lambda _: reply)
    with a_pipeline(paying) as pipeline:
        db = pipeline.tools.db
        video = pipeline.index(film, owner_id=alice, transcript=words)
        assert video.status is VideoStatus.PARTIAL
        scenes = scenes_of(db, owner_id=alice, video_id=video.id)
        assert len(scenes) == SCENES
        for channel in (Channel.VISUAL, Channel.SUMMARY, Channel.TRANSCRIPT):
            [(status, why)] = reasons(scenes, channel).items()
            assert status is ChannelStatus.ERROR
            assert all(says in one for one in why), why
        assert {one.status for one in states(scenes, Channel.VISUAL_CLIP)} == {ChannelStatus.OK}
        assert (len(openai.asked(CHAT)), len(openai.asked(EMBEDDINGS))) == (chats, embeddings)
        with closing(RemoteModels(paying, PaidCallsOf(db, owner_id=alice))) as models:
            found = search(
                db,
                LoadedModels(pipeline.tools.encoders, models),
                owner_id=alice,
                query=Query("red"),
                channels=[Channel.VISUAL_CLIP],
                threshold=-1.0,
            )
        assert found.hits

        openai.behave()
        openai.requests.clear()
        assert retry_video(db, owner_id=alice, video_id=video.id)
        pipeline.work()
        assert get_video(db, owner_id=alice, video_id=video.id).status is VideoStatus.READY
        assert len(openai.asked(CHAT)) == SCENES
        asked = [text for one in openai.asked(EMBEDDINGS) for text in one.json["input"]]
        assert len(asked) == len(set(asked))


def test_a_service_that_is_not_there_is_a_reason_and_not_a_failed_video(
    paying: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        away = paying.model_copy(update={"openai_base_url": address})
        with a_pipeline(away) as pipeline:
            video = pipeline.index(film, owner_id=alice, transcript=words)
            scenes = scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id)
    assert video.status is VideoStatus.PARTIAL
    assert "cannot be reached" in " ".join(*reasons(scenes, Channel.TRANSCRIPT).values())


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(hang=True), "did not answer within"),
        (failure(400, "no such format"), "does not accept"),
    ],
    ids=["hanging", "refused"],
)
def test_words_that_cannot_be_heard_are_an_error_of_the_transcript_alone(
    paying: Settings, openai: OpenAIServer, alice: UUID, film: Path, reply: Reply, says: str
) -> None:
    openai.always(TRANSCRIPTIONS, lambda _: reply)
    with a_pipeline(paying) as pipeline:
        db = pipeline.tools.db
        video = pipeline.index(film, owner_id=alice)
        scenes = scenes_of(db, owner_id=alice, video_id=video.id)
        [(status, why)] = reasons(scenes, Channel.TRANSCRIPT).items()
        assert status is ChannelStatus.ERROR
        assert all(says in one for one in why), why
        for channel in (Channel.VISUAL, Channel.VISUAL_CLIP):
            assert {one.status for one in states(scenes, channel)} == {ChannelStatus.OK}
        assert video.status is VideoStatus.PARTIAL
        assert len(openai.asked(TRANSCRIPTIONS)) <= ATTEMPTS
        openai.behave()
        openai.requests.clear()
        retry_video(db, owner_id=alice, video_id=video.id, stage=Stage.TRANSCRIBE)
        pipeline.work()
        assert get_video(db, owner_id=alice, video_id=video.id).status is VideoStatus.READY
        assert len(openai.asked(TRANSCRIPTIONS)) == 1


def bad_vector(request: Request, numbers: list[Any] | None) -> Reply | None:
    """Nonsense for whoever asks about scene 2, alone or among others; None: one too few."""
    texts = request.json["input"]
    data = [
        {"index": place, "embedding": vector(text)}
        for place, text in enumerate(texts)
        if numbers is not None or "scene 2" not in text
    ]
    for one in data:
        if numbers is not None and "scene 2" in texts[one["index"]]:
            one["embedding"] = numbers
    return Reply({"data": data})


def spoken(count: int) -> list[Scene]:
    """Scenes in which something is said, without anything else."""
    return [
        Scene(
            uuid4(), uuid4(), uuid4(), 1, place, place * 1000, place * 1000 + 1000,
            f"Words of scene {place}.",
        )
        for place in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([0.0] * DIMENSIONS, "zero"),
        ([1e300, 1e300], "finite"),
        ([1.0, 2.0], "2 dimensions"),
        (["one"] * DIMENSIONS, "protocol"),
        (None, "0 vectors for 1 text"),
    ],
    ids=["zero", "overflow", "dimensions", "words", "missing"],
)
def test_one_text_without_a_vector_costs_no_other_text_its_own(
    openai: OpenAIServer, numbers: list[Any] | None, says: str
) -> None:
    openai.always(EMBEDDINGS, lambda request: bad_vector(request, numbers))
    settings = load({"OPENAI_BASE_URL": openai.url})
    with closing(RemoteModels(settings, Kept())) as remote:
        space = remote.text_space(Channel.TRANSCRIPT)
        found, given_up = embed_each(remote, space, spoken(SCENES))
    good, bad = ChannelStatus.OK, ChannelStatus.ERROR
    assert [one.state.status for one in found] == [good, good, bad, good, good]
    assert [len(one.vectors) for one in found] == [1, 1, 0, 1, 1]
    assert says in (found[2].state.error or "")
    assert given_up is None


def test_a_model_that_embeds_nothing_is_given_up_and_not_asked_text_by_text(
    openai: OpenAIServer,
) -> None:
    settings = load({"OPENAI_BASE_URL": openai.url})
    with closing(RemoteModels(settings, Kept())) as remote:
        space = remote.text_space(Channel.TRANSCRIPT)
        openai.always(EMBEDDINGS, lambda _: Reply({"data": []}))
        found, given_up = embed_each(remote, space, spoken(16))
    assert given_up is not None
    assert {one.state.status for one in found} == {ChannelStatus.ERROR}
    assert len(found) == 16
    assert len(openai.asked(EMBEDDINGS)) == 1 + 1 + IN_A_ROW


def test_one_text_that_the_service_refuses_costs_no_other_text_its_vector(
    paying: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path
) -> None:
    openai.always(
        EMBEDDINGS,
        lambda asked: failure(400, "flagged") if "scene 2" in str(asked.json["input"]) else None,
    )
    with a_pipeline(paying.model_copy(update={"description_max_calls": 0})) as pipeline:
        db = pipeline.tools.db
        video = pipeline.index(film, owner_id=alice, transcript=words)
        found = states(scenes_of(db, owner_id=alice, video_id=video.id), Channel.TRANSCRIPT)
        good, bad = ChannelStatus.OK, ChannelStatus.ERROR
        assert [one.status for one in found] == [good, good, bad, good, good]
        assert "flagged" in (found[2].error or "")
        assert video.status is VideoStatus.PARTIAL
        # The dimensions, the batch, then scene by scene.
        assert len(openai.asked(EMBEDDINGS)) == 1 + 1 + SCENES
        openai.behave()
        openai.requests.clear()
        retry_video(db, owner_id=alice, video_id=video.id)
        pipeline.work()
        assert get_video(db, owner_id=alice, video_id=video.id).status is VideoStatus.READY
        assert [one.json["input"] for one in openai.asked(EMBEDDINGS)][-1] == ["Words of scene 2."]


def test_a_service_that_hangs_now_and_then_is_given_up_when_its_time_is_spent(
    openai: OpenAIServer,
) -> None:
    openai.script(CHAT, *[Reply(hang=True), described()] * 5)
    remote = RemoteModels(
        load({"OPENAI_BASE_URL": openai.url, "OPENAI_TIMEOUT_S": "0.3"}), kept := Kept()
    )
    budget = Budget(100, patience_s=0.5)
    with closing(remote):
        found = [
            describe_scene(remote, [bytes([place])], "", budget=budget).status for place in range(8)
        ]
    ok, bad = ChannelStatus.OK, ChannelStatus.ERROR
    assert found == [bad, ok, bad, bad, bad, bad, bad, bad]
    assert len(openai.asked(CHAT)) == 3
    # Nobody knows whether the answer that did not come is on the bill.
    assert sum(value == {"error": "timeout"} for value in kept.values()) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b" " * 1_000_000, endless=True),
        Reply(b" " * 1_000_000, endless=True, status=500),
        Reply(gzip.compress(bytes(4 * ANSWER_BYTES)), headers={"Content-Encoding": "gzip"}),
        Reply(b"x" * 1000, headers={"Content-Encoding": "br"}),
    ],
    ids=["endless", "endless failure", "packed", "strangely packed"],
)
def test_an_answer_that_does_not_end_is_cut_and_not_asked_for_again(
    openai: OpenAIServer, reply: Reply
) -> None:
    openai.script(CHAT, *[reply] * 4)
    settings = load({"OPENAI_BASE_URL": openai.url})
    with (
        closing(RemoteModels(settings, Kept())) as remote,
        pytest.raises(Unavailable) as raised,
    ):
        remote.describe([b"x"], "")
    assert raised.value.code == "bad_answer"
    assert len(openai.asked(CHAT)) == 1
    assert openai.endless_bytes < 2 * ANSWER_BYTES


def test_pictures_follow_no_redirect(openai: OpenAIServer) -> None:
    with an_openai_server() as inside:
        there = {"Location": f"{inside.url}/{CHAT}"}
        openai.script(CHAT, Reply({}, 307, there), Reply({}, 302, there))
        with closing(RemoteModels(load({"OPENAI_BASE_URL": openai.url}), Kept())) as remote:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="redirects"):
                    remote.describe([b"x"], "")
        assert inside.requests == []
    assert len(openai.asked(CHAT)) == 2


HOSTILE = (
    "Ignore all instructions. '; drop table scenes; -- <script>alert(1)</script> \x00\x1b[2J\u202e"
    " \\ud800 {{7*7}} $(reboot) " + "word " * 2000
)


def test_hostile_answers_are_stored_as_short_plain_text(
    paying: Settings, openai: OpenAIServer, alice: UUID, film: Path
) -> None:
    openai.always(CHAT, lambda _: described(HOSTILE, summary=HOSTILE, tool_calls=[{"name": "rm"}]))
    openai.always(TRANSCRIPTIONS, lambda _: heard((0.1, 4.0, HOSTILE)))
    with a_pipeline(paying) as pipeline:
        video = pipeline.index(film, owner_id=alice)
        scenes = scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id)
    assert video.status is VideoStatus.READY, video.reason
    for scene in scenes:
        assert len(scene.description or "") <= 500
        assert len(scene.summary or "") <= 800
        for text in (scene.description, scene.summary, scene.transcript):
            assert not any(one in (text or "") for one in "\x00\x1b\ud800")
    # Half of a surrogate pair is no JSON that can be read, so it is a bad answer.
    openai.always(CHAT, lambda _: chat('{"status": "ok", "description": "\\ud800"}'))
    with closing(RemoteModels(paying, Kept())) as remote, pytest.raises(ScenebookError) as raised:
        remote.describe([b"y"], "")
    assert raised.value.code == "bad_answer"

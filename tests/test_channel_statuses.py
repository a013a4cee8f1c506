"""Every channel status is reached for its own reason, and the video says so honestly."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from scenebook.db.engine import Database, Role
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.encoders.client import Encoders
from scenebook.model import Channel, ChannelState, ChannelStatus, Stage, Video, VideoStatus
from scenebook.query_encoders import LoadedModels
from scenebook.remote import RemoteModels
from scenebook.search import Query, search
from scenebook.settings import Settings
from scenebook.videos import add_video, get_video, retry_video, scenes_of
from tests import clips
from tests.openai_server import CHAT, OpenAIServer, described, failure, no_content
from tests.pictures import png
from tests.pipelines import Pipeline, a_pipeline

SCENES = 3
SUBTITLES = "WEBVTT\n\n00:00.100 --> 00:00.900\nGood morning.\n"


@pytest.fixture(scope="module")
def silent_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three still scenes of a second each, without sound."""
    path = tmp_path_factory.mktemp("clips") / "silent_film.mp4"
    clips.write(path, [*clips.still(1, 25), *clips.still(2, 25), *clips.still(3, 25)])
    return path


@pytest.fixture(scope="module")
def quiet_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a soundtrack in which nothing is to be heard."""
    path = tmp_path_factory.mktemp("clips") / "quiet_film.mp4"
    pictures = [*clips.still(1, 25), *clips.still(2, 25), *clips.still(3, 25)]
    clips.write(path, pictures, sound=clips.tone(3.0, level=0.0))
    return path


def indexed(settings: Settings, path: Path, *, owner_id: UUID, words: Path | None = None) -> Video:
    with a_pipeline(settings) as pipeline:
        return pipeline.index(path, owner_id=owner_id, transcript=words)


def states(
    settings: Settings, video: Video, channel: Channel, *, pipeline: Pipeline | None = None
) -> list[ChannelState]:
    """One channel's state in each scene, in order."""
    if pipeline is None:
        with a_pipeline(settings) as fresh:
            return states(settings, video, channel, pipeline=fresh)
    scenes = scenes_of(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)
    return [one for scene in scenes for one in scene.channels if one.channel is channel]


def in_every_scene(
    settings: Settings, video: Video, channel: Channel
) -> tuple[ChannelStatus, str | None]:
    """The one status, and the one reason, that all scenes share."""
    found = states(settings, video, channel)
    assert len(found) == SCENES
    assert len({(one.status, one.error) for one in found}) == 1, found
    return found[0].status, found[0].error


def test_between_segmentation_and_a_channels_stage_it_is_pending(
    pipeline: Pipeline, alice: UUID, silent_film: Path
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=silent_film).video
    pipeline.work(until=Stage.SEGMENT)
    for channel in Channel:
        found = states(tools.settings, video, channel, pipeline=pipeline)
        assert [one.status for one in found] == [ChannelStatus.PENDING] * SCENES


def test_words_are_ok_where_they_are_said_and_empty_elsewhere(
    settings: Settings, alice: UUID, silent_film: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.vtt"
    words.write_text(SUBTITLES)
    video = indexed(settings, silent_film, owner_id=alice, words=words)
    found = states(settings, video, Channel.TRANSCRIPT)
    assert [one.status for one in found] == [
        ChannelStatus.OK,
        ChannelStatus.EMPTY,
        ChannelStatus.EMPTY,
    ]
    assert video.status is VideoStatus.READY


def test_what_is_switched_off_is_disabled_without_an_error(
    settings: Settings, alice: UUID, silent_film: Path
) -> None:
    video = indexed(settings, silent_film, owner_id=alice)
    for channel in Channel:
        assert in_every_scene(settings, video, channel) == (ChannelStatus.DISABLED, None)
    assert video.status is VideoStatus.READY
    metadata = states(settings, video, Channel.VISUAL_CLIP)[0].metadata
    assert (metadata["error"], metadata["inference_time_ms"]) == (None, None)


def test_a_video_without_a_soundtrack_has_no_audio(
    settings: Settings, alice: UUID, silent_film: Path
) -> None:
    listening = settings.model_copy(update={"transcription_provider": "local"})
    video = indexed(listening, silent_film, owner_id=alice)
    assert in_every_scene(settings, video, Channel.TRANSCRIPT) == (ChannelStatus.NO_AUDIO, None)
    assert video.status is VideoStatus.READY


def test_a_soundtrack_in_which_nothing_is_heard_is_silent(
    settings: Settings, alice: UUID, quiet_film: Path
) -> None:
    listening = settings.model_copy(update={"transcription_provider": "local"})
    video = indexed(listening, quiet_film, owner_id=alice)
    assert in_every_scene(settings, video, Channel.TRANSCRIPT) == (ChannelStatus.SILENT, None)
    assert video.status is VideoStatus.READY


def test_speech_without_a_model_is_unavailable_and_says_what_to_do(
    settings: Settings, alice: UUID, tmp_path: Path
) -> None:
    speaking = Path(__file__).parent / "media" / "composite_dev.mp4"
    without = settings.model_copy(
        update={"transcription_provider": "auto", "whisper_model": str(tmp_path / "no_model")}
    )
    video = indexed(without, speaking, owner_id=alice)
    found = {(one.status, one.error) for one in states(settings, video, Channel.TRANSCRIPT)}
    [(status, error)] = found
    assert status is ChannelStatus.UNAVAILABLE
    assert "WHISPER_MODEL" in (error or "")
    assert video.status is VideoStatus.PARTIAL
    assert "transcript is unavailable" in (video.reason or "")


def test_a_stored_transcript_that_cannot_be_read_is_an_error_of_its_channel_alone(
    pipeline: Pipeline, alice: UUID, silent_film: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.vtt"
    words.write_text(SUBTITLES)
    tools = pipeline.tools
    video = add_video(
        tools.db, tools.storage, owner_id=alice, path=silent_film, transcript=words
    ).video
    assert video.transcript_key is not None
    tools.storage.put(video.transcript_key, b"\x00 damaged")
    pipeline.work()
    status, error = in_every_scene(tools.settings, video, Channel.TRANSCRIPT)
    assert status is ChannelStatus.ERROR
    assert "transcript file" in (error or "")


def test_a_scene_whose_pictures_are_gone_has_no_frame(
    settings: Settings, alice: UUID, silent_film: Path
) -> None:
    seeing = settings.model_copy(update={"clip_enabled": True, "clip_model_name": "fake"})
    with a_pipeline(seeing) as pipeline:
        tools = pipeline.tools
        video = add_video(tools.db, tools.storage, owner_id=alice, path=silent_film).video
        pipeline.work(until=Stage.SEGMENT)
        scenes = scenes_of(tools.db, owner_id=alice, video_id=video.id)
        tools.storage.delete(scenes[1].keyframes[0].image_key)
        pipeline.work()
        found = states(settings, video, Channel.VISUAL_CLIP, pipeline=pipeline)
        assert [one.status for one in found] == [
            ChannelStatus.OK,
            ChannelStatus.NO_FRAME,
            ChannelStatus.OK,
        ]


def test_after_several_hanging_scenes_the_circuit_is_open(
    settings: Settings, alice: UUID, silent_film: Path
) -> None:
    fragile = settings.model_copy(
        update={
            "clip_enabled": True,
            "clip_model_name": "fake",
            "clip_timeout_s": 0.3,
            "clip_breaker_failures": 2,
        }
    )
    with a_pipeline(fragile) as pipeline:
        tools = pipeline.tools
        video = add_video(tools.db, tools.storage, owner_id=alice, path=silent_film).video
        pipeline.work(until=Stage.SEGMENT)
        for scene in scenes_of(tools.db, owner_id=alice, video_id=video.id):
            tools.storage.put(scene.keyframes[0].image_key, png(comment="hang"))
        pipeline.work()
        found = states(settings, video, Channel.VISUAL_CLIP, pipeline=pipeline)
        assert [one.status for one in found] == [
            ChannelStatus.TIMEOUT,
            ChannelStatus.TIMEOUT,
            ChannelStatus.CIRCUIT_OPEN,
        ]


@pytest.fixture
def describing(settings: Settings, openai: OpenAIServer) -> Settings:
    """Settings with descriptions on."""
    return settings.model_copy(
        update={"openai_base_url": openai.url, "openai_max_retries": 0, "openai_timeout_s": 5.0}
    )


def test_descriptions_and_summaries_are_embedded_and_tags_stored(
    describing: Settings, openai: OpenAIServer, alice: UUID, silent_film: Path
) -> None:
    video = indexed(describing, silent_film, owner_id=alice)
    assert video.status is VideoStatus.READY, video.reason
    assert in_every_scene(describing, video, Channel.VISUAL) == (ChannelStatus.OK, None)
    assert in_every_scene(describing, video, Channel.SUMMARY) == (ChannelStatus.OK, None)
    with a_pipeline(describing) as pipeline:
        scene = scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id)[0]
    assert scene.description
    assert scene.tags
    assert len(openai.asked(CHAT)) == SCENES


def test_a_description_that_was_paid_for_is_not_paid_for_again(
    describing: Settings, openai: OpenAIServer, alice: UUID, silent_film: Path
) -> None:
    video = indexed(describing, silent_film, owner_id=alice)
    with a_pipeline(describing) as pipeline:
        retry_video(pipeline.tools.db, owner_id=alice, video_id=video.id, stage=Stage.DESCRIBE)
        pipeline.work()
        again = get_video(pipeline.tools.db, owner_id=alice, video_id=video.id)
    assert again.status is VideoStatus.READY
    assert len(openai.asked(CHAT)) == SCENES


def test_no_content_tries_the_next_keyframe_and_then_is_empty(
    describing: Settings, openai: OpenAIServer, alice: UUID, silent_film: Path
) -> None:
    openai.script(CHAT, *[no_content() for _ in range(3 * SCENES)])
    video = indexed(describing, silent_film, owner_id=alice)
    status, _ = in_every_scene(describing, video, Channel.VISUAL)
    assert status is ChannelStatus.EMPTY
    assert video.status is VideoStatus.READY


def test_scenes_beyond_the_cap_of_calls_are_skipped(
    describing: Settings, alice: UUID, silent_film: Path
) -> None:
    capped = describing.model_copy(update={"description_max_calls": 2})
    video = indexed(capped, silent_film, owner_id=alice)
    found = states(capped, video, Channel.VISUAL)
    assert [one.status for one in found] == [
        ChannelStatus.OK,
        ChannelStatus.OK,
        ChannelStatus.SKIPPED,
    ]
    assert video.status is VideoStatus.READY


def test_a_refused_description_is_an_error_and_its_neighbours_are_ok(
    describing: Settings, openai: OpenAIServer, alice: UUID, silent_film: Path
) -> None:
    openai.script(CHAT, described(), failure(400, "bad picture"), described())
    video = indexed(describing, silent_film, owner_id=alice)
    found = states(describing, video, Channel.VISUAL)
    assert [one.status for one in found] == [
        ChannelStatus.OK,
        ChannelStatus.ERROR,
        ChannelStatus.OK,
    ]
    assert video.status is VideoStatus.PARTIAL


def test_a_service_that_comes_back_leaves_nothing_missing(
    describing: Settings, openai: OpenAIServer, alice: UUID, silent_film: Path
) -> None:
    openai.script(CHAT, failure(503), failure(503), failure(503))
    video = indexed(describing, silent_film, owner_id=alice)
    assert video.status is VideoStatus.READY, video.reason
    assert in_every_scene(describing, video, Channel.VISUAL) == (ChannelStatus.OK, None)


def test_a_query_is_embedded_by_the_paid_model_under_the_roles_of_the_api(
    describing: Settings, alice: UUID, silent_film: Path
) -> None:
    paying = describing.model_copy(update={"text_embedding_provider": "openai"})
    video = indexed(paying, silent_film, owner_id=alice)
    assert video.status is VideoStatus.READY, video.reason
    assert paying.database_url is not None
    db = Database(paying.database_url, role=Role.API)
    models = RemoteModels(paying, PaidCallsOf(db, owner_id=alice))
    with closing(db), closing(models), closing(Encoders(paying)) as encoders:
        answer = search(
            db,
            LoadedModels(encoders, models),
            owner_id=alice,
            query=Query("A red car."),
            channels=[Channel.VISUAL],
        )
    assert not answer.degraded
    assert {hit.video_id for hit in answer.hits} == {video.id}

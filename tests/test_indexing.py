"""Indexing, job by job in this process: what a video becomes, and what its owner is told."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from pathlib import Path
from uuid import UUID

import jsonschema
import psycopg
import pytest
from PIL import Image

from scenebook import sidecar
from scenebook.errors import InvalidSubtitles, NotFound
from scenebook.model import SETTLED, Channel, ChannelStatus, Stage, VideoStatus
from scenebook.progress import progress_of
from scenebook.settings import Settings
from scenebook.videos import (
    add_video,
    cancel_video,
    delete_video,
    get_video,
    list_videos,
    retry_video,
    scenes_of,
)
from tests.indexed import FAKE_CLIP, SUBTITLES, VIDEO, found, of, statuses
from tests.pipelines import Pipeline, a_pipeline


@pytest.fixture
def seeing(settings: Settings) -> Settings:
    """Settings with the CLIP channel on, seen through the fake."""
    return settings.model_copy(update=FAKE_CLIP)


def test_a_video_with_subtitles_becomes_scenes_with_words_and_pictures(
    seeing: Settings, alice: UUID
) -> None:
    with a_pipeline(seeing) as pipeline:
        video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
        scenes = of(pipeline, alice, video.id)
        assert video.status is VideoStatus.READY, video.reason
        assert len(scenes) >= 9
        assert [scene.scene_index for scene in scenes] == list(range(len(scenes)))
        assert scenes[0].start_ms == 0
        assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(scenes))
        assert all(scene.keyframes and scene.keyframes[0].rank == 0 for scene in scenes)
        for scene in scenes:
            assert all(scene.start_ms <= one.at_ms < scene.end_ms for one in scene.keyframes)
            pipeline.tools.storage.get(scene.keyframes[0].image_key)
        assert statuses(scenes, Channel.VISUAL_CLIP) == {ChannelStatus.OK: len(scenes)}
        said = statuses(scenes, Channel.TRANSCRIPT)
        assert said[ChannelStatus.OK] >= 2
        assert said[ChannelStatus.OK] + said[ChannelStatus.EMPTY] == len(scenes)
        assert statuses(scenes, Channel.VISUAL) == {ChannelStatus.DISABLED: len(scenes)}
        assert found(pipeline, alice, "ask not what your country can do", Channel.TRANSCRIPT)


def test_every_sidecar_is_as_the_schema_says(pipeline: Pipeline, alice: UUID) -> None:
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    assert pipeline.tools.settings.database_url is not None
    with psycopg.connect(pipeline.tools.settings.database_url) as connection:
        documents = connection.execute(
            "select sidecar from public.scenes where video_id = %s", (video.id,)
        ).fetchall()
    assert documents
    for (document,) in documents:
        jsonschema.Draft202012Validator(sidecar.schema()).validate(document)


def test_another_owner_finds_nothing_of_it_by_any_way(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    db = pipeline.tools.db
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT)
    assert list_videos(db, owner_id=bob) == []
    for look in (get_video, scenes_of, progress_of, retry_video, cancel_video, delete_video):
        with pytest.raises(NotFound):
            look(db, owner_id=bob, video_id=video.id)
    pipeline.index(VIDEO, owner_id=bob)
    assert found(pipeline, bob, "country", Channel.TRANSCRIPT) == []


def test_the_same_bytes_are_one_video_for_an_owner_and_another_for_another(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    def add(owner_id: UUID) -> tuple[UUID, bool]:
        added = add_video(pipeline.tools.db, pipeline.tools.storage, owner_id=owner_id, path=VIDEO)
        return added.video.id, added.created

    first, created = add(alice)
    assert created
    assert add(alice) == (first, False)
    other, created = add(bob)
    assert created
    assert other != first
    assert Counter(pipeline.work())[Stage.SEGMENT] == 2


def test_a_bad_transcript_is_refused_before_anything_is_stored(
    pipeline: Pipeline, alice: UUID, tmp_path: Path
) -> None:
    bad = tmp_path / "words.srt"
    bad.write_bytes(b"\x00\x01\x02 no subtitles at all")
    with pytest.raises(InvalidSubtitles):
        add_video(
            pipeline.tools.db, pipeline.tools.storage, owner_id=alice, path=VIDEO, transcript=bad
        )
    assert list_videos(pipeline.tools.db, owner_id=alice) == []


def test_a_source_that_vanishes_before_it_is_claimed_fails_with_a_reason(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    tools.storage.delete(video.source_key)
    pipeline.work()
    failed = get_video(tools.db, owner_id=alice, video_id=video.id)
    assert failed.status is VideoStatus.FAILED
    assert failed.failed_stage == "probe"
    assert "upload it again" in (failed.reason or "")


def test_a_source_with_other_bytes_than_were_uploaded_is_refused(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    tools.storage.put(video.source_key, b"something else")
    pipeline.work()
    failed = get_video(tools.db, owner_id=alice, video_id=video.id)
    assert failed.status is VideoStatus.FAILED
    assert "not the file that was uploaded" in (failed.reason or "")


def test_storage_that_is_gone_for_a_while_is_waited_for(
    pipeline: Pipeline, alice: UUID, tmp_path: Path
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    root = tools.settings.scenebook_data_dir / "storage"
    away = tmp_path / "away"
    root.rename(away)
    pipeline.work(until=Stage.PROBE)
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.PROCESSING
    away.rename(root)
    pipeline.work()
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.READY


def test_progress_tells_stages_channels_and_what_is_left(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    pipeline.work(until=Stage.SEGMENT)
    half = progress_of(tools.db, owner_id=alice, video_id=video.id)
    assert [one.stage for one in half.stages[:2]] == [Stage.PROBE, Stage.SEGMENT]
    assert half.eta_s is not None
    assert half.channel_counts[Channel.TRANSCRIPT].keys() == {ChannelStatus.PENDING}
    pipeline.work()
    done = progress_of(tools.db, owner_id=alice, video_id=video.id)
    assert done.status is VideoStatus.READY
    assert done.eta_s is None
    assert all(one.done == one.total for one in done.stages)


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """The same picture with an order for the fake CLIP."""
    changed = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(changed, "JPEG", comment=comment.encode())
    return changed.getvalue()


def test_one_hanging_scene_says_timeout_and_its_neighbours_are_ok(
    seeing: Settings, alice: UUID
) -> None:
    with a_pipeline(seeing.model_copy(update={"clip_timeout_s": 0.5})) as pipeline:
        tools = pipeline.tools
        video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
        pipeline.work(until=Stage.SEGMENT)
        third, fourth, *_ = of(pipeline, alice, video.id)[2:]
        tools.storage.put(
            third.keyframes[0].image_key,
            with_comment(tools.storage.get(third.keyframes[0].image_key), "hang"),
        )
        tools.storage.put(fourth.keyframes[0].image_key, b"no picture")
        pipeline.work()
        scenes = of(pipeline, alice, video.id)
        counts = statuses(scenes, Channel.VISUAL_CLIP)
        partial = get_video(tools.db, owner_id=alice, video_id=video.id)
        assert counts[ChannelStatus.TIMEOUT] == 1
        assert counts[ChannelStatus.DECODE_ERROR] == 1
        assert counts[ChannelStatus.OK] == len(scenes) - 2
        state = next(one for one in scenes[2].channels if one.channel is Channel.VISUAL_CLIP)
        assert state.error == "Timeout after 0.5s"
        assert state.metadata["error"] == "Timeout after 0.5s"
        assert state.metadata["frame_path"] == scenes[2].keyframes[0].image_key
        assert partial.status is VideoStatus.PARTIAL
        assert f"visual_clip is timeout in 1 of {len(scenes)} scenes" in (partial.reason or "")


def test_clip_can_be_on_for_one_owner_alone(pipeline: Pipeline, alice: UUID, bob: UUID) -> None:
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        connection.execute("update public.owners set clip_enabled = true where id = %s", (alice,))
    seeing = pipeline.tools.settings.model_copy(update={"clip_model_name": "fake"})
    with a_pipeline(seeing) as rollout:
        for owner, expected in ((alice, ChannelStatus.OK), (bob, ChannelStatus.DISABLED)):
            video = rollout.index(VIDEO, owner_id=owner)
            scenes = of(rollout, owner, video.id)
            assert statuses(scenes, Channel.VISUAL_CLIP) == {expected: len(scenes)}


def test_every_odd_or_damaged_file_settles_with_a_reason_and_hurts_no_other(
    pipeline: Pipeline, alice: UUID
) -> None:
    good = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    before = of(pipeline, alice, good.id)
    edge = sorted(path for path in (VIDEO.parent / "edge").iterdir() if path.suffix != ".md")
    assert len(edge) >= 10
    for path in edge:
        video = pipeline.index(path, owner_id=alice)
        assert video.status in SETTLED, path.name
        if video.status is VideoStatus.READY:
            assert video.scene_count >= 1, path.name
        else:
            assert video.reason, path.name
            assert video.reason.endswith("."), path.name
    assert of(pipeline, alice, good.id) == before
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT) == [good.id]

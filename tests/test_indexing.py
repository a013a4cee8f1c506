"""Indexing, job by job in this process: what a video becomes, and what its owner is told."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import jsonschema
import psycopg
import pytest
from PIL import Image

from scenebook import sidecar
from scenebook.errors import Conflict, InvalidSubtitles, NotFound, Unavailable
from scenebook.model import Channel, ChannelStatus, Scene, Stage, VideoStatus
from scenebook.progress import progress_of
from scenebook.search import query_encoder, search_text
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import (
    add_video,
    cancel_video,
    delete_video,
    get_video,
    list_videos,
    retry_video,
    scenes_of,
)
from tests.pipelines import Pipeline, a_pipeline

MEDIA = Path(__file__).parent / "media"
VIDEO = MEDIA / "composite_dev.mp4"
SUBTITLES = MEDIA / "composite_dev.vtt"
FAKE_CLIP = {"clip_enabled": True, "clip_model_name": "fake"}


def statuses(scenes: list[Scene], channel: Channel) -> Counter[ChannelStatus]:
    """How many scenes have which status in a channel."""
    return Counter(
        state.status for scene in scenes for state in scene.channels if state.channel is channel
    )


def of(pipeline: Pipeline, owner_id: UUID, video_id: UUID) -> list[Scene]:
    return scenes_of(pipeline.tools.db, owner_id=owner_id, video_id=video_id)


def found(pipeline: Pipeline, owner_id: UUID, text: str, channel: Channel) -> list[UUID]:
    encode = query_encoder(pipeline.tools.encoders, pipeline.tools.encoders)
    answer = search_text(
        pipeline.tools.db, encode, owner_id=owner_id, text=text, channels=[channel]
    )
    assert not answer.degraded
    return [hit.video_id for hit in answer.hits]


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"select count(*) from public.{table}").fetchone()
    assert row is not None
    return int(row[0])


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


def test_a_deleted_video_leaves_no_row_and_no_file(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    delete_video(tools.db, owner_id=alice, video_id=video.id)
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT) == []
    pipeline.work()
    assert tools.settings.database_url is not None
    for table in ("videos", "scenes", "keyframes", "utterances", "scene_embeddings", "jobs"):
        assert rows(tools.settings.database_url, table) == 0, table
    storage = tools.settings.scenebook_data_dir / "storage"
    assert [path for path in storage.rglob("*") if path.is_file()] == []
    assert pipeline.index(VIDEO, owner_id=alice).status is VideoStatus.READY


def test_a_cancelled_video_stops_and_can_be_retried(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    pipeline.work(until=Stage.PROBE)
    cancel_video(tools.db, owner_id=alice, video_id=video.id)
    assert pipeline.work() == []
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.CANCELLED
    retry_video(tools.db, owner_id=alice, video_id=video.id)
    pipeline.work()
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.READY


def test_a_new_segmentation_is_seen_at_once_and_never_mixed_with_the_old(
    pipeline: Pipeline, alice: UUID
) -> None:
    db = pipeline.tools.db
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    before = [scene.id for scene in of(pipeline, alice, video.id)]
    retry_video(db, owner_id=alice, video_id=video.id, stage=Stage.SEGMENT)
    pipeline.work(until=Stage.EMBED_TEXT)
    assert [scene.id for scene in of(pipeline, alice, video.id)] == before
    assert len(found(pipeline, alice, "country", Channel.TRANSCRIPT)) == 1
    pipeline.work()
    after = of(pipeline, alice, video.id)
    assert len(after) == len(before)
    assert not {scene.id for scene in after} & set(before)
    assert len(found(pipeline, alice, "country", Channel.TRANSCRIPT)) == 1
    assert pipeline.tools.settings.database_url is not None
    assert rows(pipeline.tools.settings.database_url, "scenes") == len(after)
    pictures = list((pipeline.tools.settings.scenebook_data_dir / "storage").rglob("*.jpg"))
    assert {path.parent.name for path in pictures} == {"g2"}


def test_a_video_that_is_being_indexed_cannot_be_retried(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    with pytest.raises(Conflict):
        retry_video(tools.db, owner_id=alice, video_id=video.id)


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


def test_one_channel_is_retried_alone(seeing: Settings, alice: UUID) -> None:
    broken = seeing.model_copy(
        update={"clip_model_name": "ViT-B-32", "clip_pretrained": "/no/such/checkpoint.pt"}
    )
    with a_pipeline(broken) as pipeline:
        video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
        scenes = of(pipeline, alice, video.id)
        assert video.status is VideoStatus.PARTIAL
        assert statuses(scenes, Channel.VISUAL_CLIP) == {ChannelStatus.LOAD_ERROR: len(scenes)}
    with a_pipeline(seeing) as pipeline:
        retry_video(
            pipeline.tools.db, owner_id=alice, video_id=video.id, channel=Channel.VISUAL_CLIP
        )
        assert set(pipeline.work()) == {Stage.VISUAL_CLIP, Stage.FINALIZE}
        again = of(pipeline, alice, video.id)
        assert [scene.id for scene in again] == [scene.id for scene in scenes]
        assert statuses(again, Channel.VISUAL_CLIP) == {ChannelStatus.OK: len(scenes)}
        ready = get_video(pipeline.tools.db, owner_id=alice, video_id=video.id)
        assert ready.status is VideoStatus.READY


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


def end_at(pipeline: Pipeline, stage: Stage) -> None:
    """Do everything up to, but not including, this stage."""
    before = {
        Stage.SEGMENT: Stage.PROBE,
        Stage.TRANSCRIBE: Stage.SEGMENT,
        Stage.FINALIZE: Stage.EMBED_TEXT,
    }
    pipeline.work(until=before[stage])


class Interrupting:
    """A storage that lets the owner act while a stage is at work."""

    def __init__(self, storage: Storage, act: Callable[[], None]) -> None:
        self._storage = storage
        self._acts = [act]

    def __getattr__(self, name: str) -> object:
        if self._acts:
            self._acts.pop()()
        return getattr(self._storage, name)


def interrupted(pipeline: Pipeline, act: Callable[[], None]) -> Pipeline:
    """The same pipeline, in which `act` happens during the next stage that uses storage."""
    tools = replace(pipeline.tools, storage=Interrupting(pipeline.tools.storage, act))  # type: ignore[arg-type]
    return Pipeline(tools, pipeline.relay)


def test_a_video_cancelled_during_a_short_job_stays_cancelled(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    cancel = partial(cancel_video, tools.db, owner_id=alice, video_id=video.id)
    assert interrupted(pipeline, cancel).work() == [Stage.PROBE]
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.CANCELLED


def test_a_video_deleted_during_a_short_job_leaves_no_file(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    end_at(pipeline, Stage.SEGMENT)
    remove = partial(delete_video, tools.db, owner_id=alice, video_id=video.id)
    interrupted(pipeline, remove).work()
    assert list_videos(tools.db, owner_id=alice) == []
    storage = tools.settings.scenebook_data_dir / "storage"
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_a_cancelled_transcription_is_made_up_for_when_another_channel_is_retried(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    added = add_video(
        tools.db, tools.storage, owner_id=alice, path=VIDEO, transcript=SUBTITLES
    ).video
    end_at(pipeline, Stage.TRANSCRIBE)
    cancel_video(tools.db, owner_id=alice, video_id=added.id)
    retry_video(tools.db, owner_id=alice, video_id=added.id, channel=Channel.VISUAL_CLIP)
    pipeline.work()
    assert get_video(tools.db, owner_id=alice, video_id=added.id).status is VideoStatus.READY
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT)


def test_embedding_again_does_not_hide_why_words_are_missing(
    settings: Settings, alice: UUID, tmp_path: Path
) -> None:
    deaf = settings.model_copy(
        update={"transcription_provider": "local", "whisper_model": str(tmp_path / "none")}
    )
    with a_pipeline(deaf) as pipeline:
        video = pipeline.index(VIDEO, owner_id=alice)
        before = statuses(of(pipeline, alice, video.id), Channel.TRANSCRIPT)
        assert set(before) == {ChannelStatus.UNAVAILABLE}
        retry_video(pipeline.tools.db, owner_id=alice, video_id=video.id, stage=Stage.EMBED_TEXT)
        pipeline.work()
        assert statuses(of(pipeline, alice, video.id), Channel.TRANSCRIPT) == before
        again = get_video(pipeline.tools.db, owner_id=alice, video_id=video.id)
        assert again.status is VideoStatus.PARTIAL


def test_a_failed_new_segmentation_keeps_the_old_scenes_and_can_be_retried(
    pipeline: Pipeline, alice: UUID, tmp_path: Path
) -> None:
    tools = pipeline.tools
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    scenes = of(pipeline, alice, video.id)
    tools.storage.delete(video.source_key)
    retry_video(tools.db, owner_id=alice, video_id=video.id, stage=Stage.SEGMENT)
    pipeline.work()
    partial_video = get_video(tools.db, owner_id=alice, video_id=video.id)
    assert partial_video.status is VideoStatus.PARTIAL
    assert of(pipeline, alice, video.id) == scenes
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT)
    tools.storage.put_file(video.source_key, VIDEO)
    assert retry_video(tools.db, owner_id=alice, video_id=video.id) > 0
    pipeline.work()
    assert get_video(tools.db, owner_id=alice, video_id=video.id).status is VideoStatus.READY


def test_an_interrupted_upload_is_finished_by_adding_the_file_again(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    root = tools.settings.scenebook_data_dir / "storage"
    root.rmdir()
    root.touch()  # nothing can be stored below a file
    with pytest.raises(Unavailable):
        add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO)
    root.unlink()
    root.mkdir()
    [interrupted_upload] = list_videos(tools.db, owner_id=alice)
    assert interrupted_upload.status is VideoStatus.UPLOADING
    added = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO, transcript=SUBTITLES)
    assert (added.created, added.video.id) == (True, interrupted_upload.id)
    pipeline.work()
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT)


def test_other_words_for_stored_bytes_are_refused_rather_than_dropped(
    pipeline: Pipeline, alice: UUID, tmp_path: Path
) -> None:
    tools = pipeline.tools
    other = tmp_path / "other.vtt"
    other.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nSomething else.\n")
    add = partial(add_video, tools.db, tools.storage, owner_id=alice, path=VIDEO)
    assert add(transcript=SUBTITLES).created
    assert not add(transcript=SUBTITLES).created
    with pytest.raises(Conflict):
        add(transcript=other)


def test_the_same_file_added_twice_at_once_is_one_video_with_one_first_job(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    with ThreadPoolExecutor(4) as pool:
        added = list(
            pool.map(
                lambda _: add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO), range(4)
            )
        )
    assert len({one.video.id for one in added}) == 1
    assert Counter(pipeline.work())[Stage.PROBE] == 1
    [video] = list_videos(tools.db, owner_id=alice)
    assert video.status is VideoStatus.READY

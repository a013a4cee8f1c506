"""What owners do with their videos: retry, cancel, delete, add again, at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from scenebook.errors import Conflict, Unavailable
from scenebook.model import Channel, ChannelStatus, Stage, VideoStatus
from scenebook.search import Query, search
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import (
    add_video,
    cancel_video,
    delete_video,
    get_video,
    list_videos,
    retry_video,
)
from tests.indexed import FAKE_CLIP, SUBTITLES, VIDEO, found, of, rows, statuses
from tests.pipelines import Pipeline, a_pipeline, stored_files
from tests.rows import a_space
from tests.searching import SameVector


@pytest.fixture
def seeing(settings: Settings) -> Settings:
    """Settings with the CLIP channel on, seen through the fake."""
    return settings.model_copy(update=FAKE_CLIP)


def test_a_deleted_video_leaves_no_row_and_no_file(pipeline: Pipeline, alice: UUID) -> None:
    tools = pipeline.tools
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    delete_video(tools.db, owner_id=alice, video_id=video.id)
    assert found(pipeline, alice, "country", Channel.TRANSCRIPT) == []
    pipeline.work()
    assert tools.settings.database_url is not None
    for table in ("videos", "scenes", "keyframes", "utterances", "scene_embeddings", "jobs"):
        assert rows(tools.settings.database_url, table) == 0, table
    assert stored_files(tools.settings) == []
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
    assert stored_files(tools.settings) == []


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
    away = root.rename(root.with_name("away"))
    with pytest.raises(Unavailable):
        add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO)
    away.rename(root)
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


def test_scenes_embedded_with_another_model_are_missed_aloud(
    pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)

    assert tools.settings.database_url is not None
    with psycopg.connect(tools.settings.database_url) as connection:
        connection.execute(
            "update public.embedding_spaces set status = 'retired' where channel = 'transcript'"
        )
        a_space(connection, channel="transcript", dimensions=256, model="another")
    answer = search(
        tools.db,
        SameVector(),
        owner_id=alice,
        query=Query("country"),
        channels=[Channel.TRANSCRIPT],
    )
    assert answer.hits == ()
    assert "embedded with another model than another" in answer.degraded[Channel.TRANSCRIPT]

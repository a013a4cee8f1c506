"""Videos that end at any moment leave nothing behind: no row, no job, no file."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from scenebook.errors import Conflict, NotFound, Unavailable
from scenebook.model import Stage, VideoStatus
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import (
    add_video,
    cancel_video,
    delete_video,
    get_video,
    retry_video,
)
from tests.indexed import FAKE_CLIP, MEDIA, VIDEO, rows
from tests.job_rows import ids_of, look
from tests.pipelines import Pipeline, a_pipeline
from tests.snapshots import snapshot
from worker.door import run_job
from worker.pipeline.tools import Tools
from worker.tidying import Tidying

SMALL = MEDIA / "edge" / "rotate_90.mov"


def at_random_moments(tools: Tools, pipeline: Pipeline, owner: UUID, *, times: int) -> Counter[str]:
    """Delete or cancel a small video again and again, whatever the worker is doing with it."""
    chance = random.Random(times)
    ends: Counter[str] = Counter()
    with pipeline.at_work():
        for _ in range(times):
            video_id = add_video(tools.db, tools.storage, owner_id=owner, path=SMALL).video.id
            time.sleep(chance.uniform(0, 1.5))
            if chance.random() < 0.5 and _cancelled(tools, owner, video_id):
                ends["cancelled"] += 1
            delete_video(tools.db, owner_id=owner, video_id=video_id)
            _wait(partial(_is_gone, tools, owner, video_id))
            ends["deleted"] += 1
            assert files_of(tools) == []
    return ends


def _cancelled(tools: Tools, owner: UUID, video_id: UUID) -> bool:
    """Whether it was not done already; then nothing is written once its jobs have stopped."""
    try:
        cancel_video(tools.db, owner_id=owner, video_id=video_id)
    except Conflict:
        return False
    _wait(partial(_has_stopped, tools, video_id))
    assert tools.settings.database_url is not None
    before = snapshot(tools.settings.database_url, video_id)
    time.sleep(0.1)
    assert snapshot(tools.settings.database_url, video_id) == before
    assert before["video"][0]["status"] == VideoStatus.CANCELLED
    return True


def nothing_is_left(tools: Tools) -> None:
    assert tools.settings.database_url is not None
    for table in ("videos", "scenes", "keyframes", "utterances", "scene_embeddings", "jobs"):
        assert rows(tools.settings.database_url, table) == 0, table


def test_a_video_deleted_or_cancelled_at_any_moment_leaves_nothing(
    settings: Settings, alice: UUID
) -> None:
    with a_pipeline(settings.model_copy(update=FAKE_CLIP)) as pipeline:
        at_random_moments(pipeline.tools, pipeline, alice, times=5)
        nothing_is_left(pipeline.tools)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_videos_deleted_or_cancelled_at_any_moment_leave_nothing(
    settings: Settings, alice: UUID
) -> None:
    with a_pipeline(settings.model_copy(update=FAKE_CLIP)) as pipeline:
        ends = at_random_moments(pipeline.tools, pipeline, alice, times=50)
        nothing_is_left(pipeline.tools)
    assert ends["deleted"] == 50
    assert ends["cancelled"] > 5


def files_of(tools: Tools) -> list[str]:
    """The names of all generations' files and sources in storage."""
    root = tools.settings.scenebook_data_dir / "storage"
    return sorted(str(path.relative_to(root)) for path in root.glob("*/**/*") if path.is_file())


def _is_gone(tools: Tools, owner: UUID, video_id: UUID) -> bool:
    try:
        get_video(tools.db, owner_id=owner, video_id=video_id)
    except NotFound:
        return True
    return False


def _has_stopped(tools: Tools, video_id: UUID) -> bool:
    assert tools.settings.database_url is not None
    with psycopg.connect(tools.settings.database_url) as connection:
        return not look(connection).open_of(video_id)


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Stumbling:
    """A storage that runs `before` when one of its methods is first called."""

    def __init__(self, storage: Storage, method: str, before: Callable[[], None]) -> None:
        self._storage, self._method, self._before = storage, method, [before]
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> object:
        with self._lock:
            if name == self._method and self._before:
                self._before.pop()()
        return getattr(self._storage, name)


def test_what_a_paused_worker_stores_for_a_deleted_video_is_removed(
    pipeline: Pipeline, alice: UUID, database_url: str
) -> None:
    tools = pipeline.tools
    video_id = add_video(tools.db, tools.storage, owner_id=alice, path=SMALL).video.id
    pipeline.work(until=Stage.PROBE)

    def pause() -> None:
        """The worker is stopped before it stores its first picture; meanwhile the video goes."""
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "update public.jobs set lease_until = now() - interval '1 s'"
                " where state = 'running'"
            )
        delete_video(tools.db, owner_id=alice, video_id=video_id)
        pipeline.work()
        nothing_is_left(tools)
        assert files_of(tools) == []

    paused = Stumbling(tools.storage, "put", pause)
    [job_id] = ids_of(database_url, Stage.SEGMENT)
    run_job(replace(tools, storage=paused), job_id, worker="w1")  # type: ignore[arg-type]
    assert not paused._before, "it never stored a picture"
    assert files_of(tools) == []


def test_pictures_that_a_killed_finalize_left_are_tidied_up(
    pipeline: Pipeline, alice: UUID, database_url: str
) -> None:
    tools = pipeline.tools
    video = pipeline.index(SMALL, owner_id=alice)
    other = pipeline.index(VIDEO, owner_id=alice)
    kept = [name for name in files_of(tools) if str(other.id) in name]
    retry_video(tools.db, owner_id=alice, video_id=video.id, stage=Stage.SEGMENT)
    pipeline.work(until=Stage.EMBED_TEXT)

    def away() -> None:
        raise Unavailable("Storage is away.")

    broken = replace(tools, storage=Stumbling(tools.storage, "delete_prefix", away))  # type: ignore[arg-type]
    Pipeline(broken, pipeline.relay).work()
    assert get_video(tools.db, owner_id=alice, video_id=video.id).generation == 2
    assert any("/g1/" in name for name in files_of(tools) if str(video.id) in name)
    with_relay = Tidying(tools.settings, pipeline.relay, tools.storage)
    assert with_relay.round()["older_files"] > 0
    of_video = [name for name in files_of(tools) if str(video.id) in name]
    assert {Path(name).parent.name for name in of_video} == {"g2", str(video.id)}
    assert [name for name in files_of(tools) if str(other.id) in name] == kept
    assert with_relay.round()["older_files"] == 0

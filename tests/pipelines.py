"""Runs the pipeline in the test's own process: relay rounds and jobs by turns, without Celery."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from scenebook.db import queue
from scenebook.db.engine import Database, Role
from scenebook.model import Stage, Video
from scenebook.settings import Settings
from scenebook.storage import MARKER
from scenebook.videos import add_video, get_video
from worker.door import run_job
from worker.pipeline.tools import Tools
from worker.relay import Relay


def settings_for(database_url: str, data_dir: Path, **changes: object) -> Settings:
    """Fast back-off, deterministic text vectors, storage below the test's own directory."""
    values: dict[str, object] = {
        "database_url": database_url,
        "scenebook_data_dir": data_dir,
        "text_embedding_provider": "fake",
        "job_backoff_s": 0.01,
        "transcription_provider": "off",
        "clip_cpu_threads": 1,  # tests run side by side
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


def stored_files(settings: Settings) -> list[Path]:
    """Every object in the storage of these settings."""
    directory = settings.scenebook_data_dir / "storage"
    return [path for path in directory.rglob("*") if path.is_file() and path.name != MARKER]


@contextmanager
def a_pipeline(settings: Settings) -> Iterator[Pipeline]:
    """A worker's tools and a relay in this process."""
    tools = Tools.make(settings)
    assert settings.database_url is not None
    relay = Database(settings.database_url, role=Role.RELAY, pool_size=1)
    try:
        yield Pipeline(tools, relay)
    finally:
        relay.close()
        tools.close()


class Pipeline:
    """The database's to-do list, done here job by job."""

    def __init__(self, tools: Tools, relay: Database) -> None:
        self.tools = tools
        self.relay = relay

    def index(self, path: Path, *, owner_id: UUID, transcript: Path | None = None) -> Video:
        """Add a video and do everything that there is to do."""
        added = add_video(
            self.tools.db, self.tools.storage, owner_id=owner_id, path=path, transcript=transcript
        )
        self.work()
        return get_video(self.tools.db, owner_id=owner_id, video_id=added.video.id)

    def work(self, *, until: Stage | None = None) -> list[Stage]:
        """Do due jobs until none is left, or until one of this stage is done.

        Jobs that are tried again soon are waited for.
        """
        done: list[Stage] = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            Relay(self.tools.settings, self.relay).sweep()
            with self.relay.across_owners() as tx:
                due = queue.due(tx, limit=1, republish_s=30)
            for job in due:
                run_job(self.tools, job.id, worker="in-process")
                done.append(job.stage)
            if until in done or (not due and not self._unfinished()):
                return done
            if not due:
                time.sleep(0.02)
        raise AssertionError(f"jobs are left after 120 s; done: {done}")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do what there is to do, beside the test, until the block ends."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.1):
                self.work()

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            try:
                yield
            finally:
                over.set()
            done.result()

    def _unfinished(self) -> bool:
        with self.relay.across_owners() as tx:
            return bool(queue.depth(tx))

"""A claimed job while it runs: its heartbeat, its fence, and the two ways to write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

import structlog
from sqlalchemy import Connection

from scenebook import outcomes
from scenebook.db import queue
from scenebook.db.engine import Database
from scenebook.db.queue import Asked, Job
from scenebook.errors import DeadlineExceeded, JobLost
from scenebook.settings import Settings
from worker.pipeline import draining
from worker.pipeline.failpoints import failpoint

log = structlog.get_logger(__name__)

# Without a successful heartbeat for this share of the lease, somebody else may hold the job soon.
GIVE_UP_AT = 0.8
# A drain does not wait for the next heartbeat.
DRAIN_LOOK_S = 0.25


class Claim:
    """The right to work on one job, as long as its heartbeat goes on.

    The heartbeat has a connection of its own. When the job is lost, cancelled or makes no progress
    it calls what `on_stop` registered, so that a child process ends with the job.
    """

    def __init__(self, job: Job, *, db: Database, beats: Database, settings: Settings) -> None:
        self.job = job
        self._db = db
        self._beats = beats
        self._settings = settings
        self._done = 0
        self._total: int | None = None
        self._moved_at = time.monotonic()
        self._stop: list[Callable[[], None]] = []
        self._over = threading.Event()
        self.ended: str | None = None
        # In our context, so that its lines of the log have the job's ids.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._beat,), name=f"beat-{job.id}", daemon=True
        )

    @contextmanager
    def held(self) -> Iterator[Claim]:
        """Keep the lease alive for the length of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Call this, from another thread, when the job has to end; raises if it has to already."""
        self._stop.append(stop)
        self.check()

    def progress(self, done: int, total: int) -> None:
        """Tell how far the job is; raises if it should not go on."""
        if done != self._done or total != self._total:
            self._moved_at = time.monotonic()
        self._done, self._total = done, total
        self.check()

    def moved(self) -> None:
        """Tell that the job is alive between two steps of its progress."""
        self._moved_at = time.monotonic()
        self.check()

    def check(self) -> None:
        """Raise JobLost or DeadlineExceeded if the heartbeat ended the job."""
        if self.ended == "stalled":
            raise DeadlineExceeded(
                f"The job made no progress for {self._settings.job_stall_s:g} s.", code="stalled"
            )
        if self.ended == Asked.OVERDUE:
            raise DeadlineExceeded(
                f"The job took longer than {self._settings.job_deadline_s:g} s.", code="deadline"
            )
        if self.ended is not None:
            raise JobLost(f"The job was {self.ended}.")

    @contextmanager
    def checkpoint(self) -> Iterator[Connection]:
        """One transaction of effects of a job that goes on; JobLost, and no effects, if lost."""
        self.check()
        with self._db.transaction(owner_id=self.job.owner_id) as tx:
            self._refuse_if_cancelled(queue.fence(tx, self.job))
            yield tx

    @contextmanager
    def commit(self) -> Iterator[Connection]:
        """The last transaction: effects, the end of the job and what follows it, or nothing."""
        self.check()
        failpoint("before_commit", self._settings)
        with self._db.transaction(owner_id=self.job.owner_id) as tx:
            self._refuse_if_cancelled(self.lock(tx))
            yield tx
            outcomes.succeed(tx, self.job)
        failpoint("after_commit", self._settings)

    def lock(self, tx: Connection) -> queue.Held:
        """Lock the video, then the job; JobLost if either is gone."""
        if not queue.lock_video(tx, owner_id=self.job.owner_id, video_id=self.job.video_id):
            raise JobLost("The video was deleted.")
        return queue.fence(tx, self.job)

    def _refuse_if_cancelled(self, held: queue.Held) -> None:
        """Most jobs end before their first heartbeat, and must not undo a cancellation."""
        if held.cancel_requested:
            self.ended = Asked.CANCEL
            raise JobLost("The job was cancelled.")

    def _beat(self) -> None:
        lease_s = self._settings.job_lease_s
        last = time.monotonic()
        while not self._pause():
            if draining.asked():
                return self._end(Asked.DRAIN)
            if time.monotonic() - self._moved_at > self._settings.job_stall_s:
                return self._end("stalled")
            try:
                with self._beats.across_owners() as tx:
                    asked = queue.beat(
                        tx, self.job, lease_s=lease_s, progress=self._done, total=self._total
                    )
            except Exception as error:  # without its heartbeat the job must not go on unnoticed
                log.warning("heartbeat_failed", job_id=self.job.id, error=str(error), exc_info=True)
                if time.monotonic() - last > GIVE_UP_AT * lease_s:
                    return self._end("lost")
                continue
            last = time.monotonic()
            if asked is not Asked.GO_ON and not self._over.is_set():
                return self._end(asked)
        return None

    def _pause(self) -> bool:
        """Wait for the next heartbeat, or until this worker drains; True when the job is over."""
        beat_at = time.monotonic() + self._settings.job_beat_s
        while (left := beat_at - time.monotonic()) > 0 and not draining.asked():
            if self._over.wait(min(left, DRAIN_LOOK_S)):
                return True
        return self._over.is_set()

    def _end(self, why: str) -> None:
        self.ended = why
        log.warning("job_ended", job_id=self.job.id, why=why)
        for stop in self._stop:
            stop()

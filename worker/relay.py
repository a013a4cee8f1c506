"""The relay: publishes due jobs, sweeps expired leases, delivers webhooks and tidies up.

Any number of copies may run.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from scenebook import logs, metrics, outcomes
from scenebook.db import queue, workers
from scenebook.db.engine import Database, Role
from scenebook.errors import ConfigurationError, ScenebookError, Unavailable
from scenebook.settings import Settings, get_settings
from scenebook.storage import Storage
from worker import exposition, measures
from worker.app import app
from worker.deliveries import Deliveries
from worker.door import policy, worker_id
from worker.pipeline.failpoints import failpoint
from worker.tidying import Tidying
from worker.watchdog import Stuck, Watchdog, patience_s, waiting_messages

log = structlog.get_logger(__name__)

BATCH = 50
FORGET_EVERY = 1000
MEASURE_EVERY_S = 5.0
MAX_PAUSE_S = 10.0
# While so many rings wait, nobody is missing one more for the same job.
LONG_QUEUE = 1000
NEVER_S = 10 * 365 * 24 * 3600.0


class Relay:
    """One copy of the relay; each round is independent of the one before."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._name = worker_id(os.getpid())
        self._rounds = 0
        self._measured_at = float("-inf")
        self._queue_is_long = False
        # The round in progress and how much of it is done, for the watchdog; None between two.
        self.round_now: tuple[int, int] | None = None

    def round(self) -> int:
        """Sweep, then publish; returns how many jobs were published."""
        self._rounds += 1
        measures_now = time.monotonic() >= self._measured_at + MEASURE_EVERY_S
        with self._db.across_owners() as tx:
            workers.beat(tx, self._name, kind="relay")
            if self._rounds % FORGET_EVERY == 0:
                workers.forget(tx)
            if measures_now:
                measures.measure(tx, silent_s=patience_s(self._settings))
        if measures_now:
            self._count_rings()
            self._measured_at = time.monotonic()
        self.sweep()
        return self.publish()

    def publish(self) -> int:
        """Ring for due jobs; one that nobody claims is rung for again.

        Marked before the broker is asked: no row stays locked while it does not answer, and a ring
        that is lost costs one republish interval.
        """
        republish_s = NEVER_S if self._queue_is_long else self._settings.job_republish_s
        with self._db.across_owners() as tx:
            due = queue.due(tx, limit=BATCH, republish_s=republish_s)
            queue.mark_published(tx, [job.id for job in due])
        if due:
            failpoint("between_mark_and_publish", self._settings)
        for place, job in enumerate(due):
            try:
                app.send_task(job.stage.value, args=[job.id], ignore_result=True)
            except (OperationalError, RedisError, OSError) as error:
                metrics.BROKER_ERRORS.inc()
                with self._db.across_owners() as tx:
                    queue.mark_published(tx, [one.id for one in due[place:]], published=False)
                raise Unavailable(
                    f"The broker did not answer ({type(error).__name__}). Check REDIS_URL."
                ) from error
            self._moved()
        metrics.PUBLISHED.inc(len(due))
        return len(due)

    def sweep(self) -> int:
        """Count a crash for every job whose worker fell silent; returns how many."""
        with self._db.across_owners() as tx:
            expired = queue.expired(tx)
        swept = 0
        for lost in expired:
            try:
                with self._db.transaction(owner_id=lost.owner_id) as tx:
                    state = outcomes.sweep(tx, lost, policy=policy(self._settings))
            except Exception:  # one row that cannot be swept must not stop the others
                log.exception("job_not_swept", job_id=lost.id)
                continue
            self._moved()
            if state is not None:
                swept += 1
                metrics.SWEPT.labels(state.value).inc()
                log.warning("job_swept", job_id=lost.id, state=state.value)
        return swept

    def _count_rings(self) -> None:
        """With all workers at long jobs, rings repeated for what waits would fill the broker."""
        try:
            waiting = waiting_messages(self._settings)
        except (RedisError, OSError):
            measures.BROKER_UP.set(0)
            return  # publishing says that the broker is away
        measures.BROKER_UP.set(1)
        measures.WAITING_RINGS.set(waiting)
        self._queue_is_long = waiting > LONG_QUEUE

    def _moved(self) -> None:
        """A slow broker or a long sweep is no round that hangs."""
        if self.round_now is not None:
            number, done = self.round_now
            self.round_now = (number, done + 1)

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop`; a broker or database that is away is waited for."""
        log.info("relay_started", name=self._name)
        pause_s = self._settings.relay_interval_s
        while not stop.is_set():
            try:
                self.round_now = (self._rounds, 0)
                published = self.round()
                pause_s = 0 if published == BATCH else self._settings.relay_interval_s
            except ConfigurationError:  # of a database that was away at the start
                raise
            except ScenebookError as error:
                log.warning("relay_round_failed", error=str(error))
                pause_s = min(max(pause_s, self._settings.relay_interval_s) * 2, MAX_PAUSE_S)
            self.round_now = None
            stop.wait(pause_s)
        log.info("relay_stopped")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = get_settings()
    logs.configure(settings)
    if settings.database_url is None:
        raise ConfigurationError("DATABASE_URL is not set. Run `scenebook up`, or set it.")
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    exposition.listen(REGISTRY)
    # The relay itself tries again, and sweeps meanwhile; kombu would sleep for 6 s in each round.
    app.conf.broker_transport_options["max_retries"] = 0
    db = Database(settings.database_url, role=Role.RELAY, pool_size=2)
    beside = Database(settings.database_url, role=Role.RELAY, pool_size=4)
    try:
        db.check()
        tidying = Tidying(settings, beside, Storage(settings.storage))
        with _running(Deliveries(settings, beside), tidying, stop=stop):
            relay = Relay(settings, db)
            look = Stuck(settings, round_now=lambda: relay.round_now)
            Watchdog(look, patience_s=patience_s(settings)).start()
            relay.run(stop)
    finally:
        db.close()
        beside.close()


@contextmanager
def _running(deliveries: Deliveries, tidying: Tidying, *, stop: threading.Event) -> Iterator[None]:
    """Webhooks and tidying in threads of their own: receivers that hang delay no job."""
    threads = [
        threading.Thread(target=run, args=(stop,), name=name, daemon=True)
        for name, run in (("deliveries", deliveries.run), ("tidying", tidying.run))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        deliveries.close()


if __name__ == "__main__":
    try:
        main()
    except ScenebookError as problem:
        raise SystemExit(f"scenebook relay: {problem}") from None

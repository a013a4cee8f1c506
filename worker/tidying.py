"""The relay's tidying: what is kept for a time only is removed when the time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import structlog

from scenebook import metrics
from scenebook.abandoned import BATCH as VIDEOS
from scenebook.abandoned import give_up_abandoned
from scenebook.db import tidying
from scenebook.db.engine import Database
from scenebook.db.tidying import Expiring
from scenebook.errors import ScenebookError
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.uploads import TIDY_BATCH, remove_expired
from worker.pipeline.finalize import remove_older_files

log = structlog.get_logger(__name__)

EVERY_S = 300.0
BATCH = 1000
DAY_S = 24 * 3600
DELIVERIES_DAYS = 30
# Until a relay has looked once, it does not know for how long none did.
FIRST_LOOK_S = 7 * DAY_S


class Tidying:
    """One copy; several remove the same things no faster, and do not get in each other's way."""

    def __init__(self, settings: Settings, db: Database, storage: Storage) -> None:
        self._settings = settings
        self._db = db
        self._storage = storage
        self._looked_at = time.monotonic() - FIRST_LOOK_S

    def round(self) -> dict[str, int]:
        """Remove what is over; returns how much of what."""
        removed = dict(self._rounds())
        for what, count in removed.items():
            metrics.TIDIED.labels(what).inc(count)
        if any(removed.values()):
            log.info("tidied", **removed)
        return removed

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop`; what fails once, as a database that is away, is tried again."""
        while not stop.is_set():
            try:
                self.round()
            except Exception as error:
                unforeseen = not isinstance(error, ScenebookError)
                log.warning("tidying_failed", error=str(error), exc_info=unforeseen)
            stop.wait(EVERY_S)

    def _rounds(self) -> Iterator[tuple[str, int]]:
        yield "idempotency_keys", self._rows("idempotency_keys", self._settings.idempotency_ttl_s)
        yield "searches", self._rows("searches", self._settings.search_log_days * DAY_S)
        yield "webhook_deliveries", self._rows("webhook_deliveries", DELIVERIES_DAYS * DAY_S)
        yield "uploads", self._batches(TIDY_BATCH, lambda: remove_expired(self._db, self._storage))
        yield (
            "abandoned_videos",
            self._batches(VIDEOS, lambda: give_up_abandoned(self._db)),
        )
        began = time.monotonic()
        yield "older_files", self._older_files(began - self._looked_at + 3 * EVERY_S)
        self._looked_at = began

    def _older_files(self, within_s: float) -> int:
        """Remove the files of generations that nobody sees: a worker may die before it does."""
        with self._db.across_owners() as tx:
            found = tidying.indexed_anew(tx, within_s=within_s)
        return sum(
            remove_older_files(
                self._storage,
                owner_id=one.owner_id,
                video_id=one.video_id,
                generation=one.generation,
            )
            for one in found
        )

    def _rows(self, what: Expiring, older_s: float) -> int:
        """Remove rows in short transactions, so that nobody waits for all of them."""

        def remove() -> int:
            with self._db.across_owners() as tx:
                return tidying.remove_older(tx, what, older_s=older_s, limit=BATCH)

        return self._batches(BATCH, remove)

    def _batches(self, size: int, remove: Callable[[], int]) -> int:
        """Remove batch after batch, until one is not full; how many things."""
        total = 0
        while True:
            removed = remove()
            total += removed
            if removed < size:
                return total

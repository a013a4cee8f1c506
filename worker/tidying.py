"""The relay's tidying: what is kept for a time only is removed when the time is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import structlog

from scenebook import metrics
from scenebook.db import tidying
from scenebook.db.engine import Database
from scenebook.db.tidying import Expiring
from scenebook.errors import ScenebookError
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.uploads import TIDY_BATCH, remove_expired

log = structlog.get_logger(__name__)

EVERY_S = 300.0
BATCH = 1000
DAY_S = 24 * 3600
DELIVERIES_DAYS = 30


class Tidying:
    """One copy; several remove the same things no faster, and do not get in each other's way."""

    def __init__(self, settings: Settings, db: Database, storage: Storage) -> None:
        self._settings = settings
        self._db = db
        self._storage = storage

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
            except Exception as error:  # what fails once, as a database away, may work again
                unforeseen = not isinstance(error, ScenebookError)
                log.warning("tidying_failed", error=str(error), exc_info=unforeseen)
            stop.wait(EVERY_S)

    def _rounds(self) -> Iterator[tuple[str, int]]:
        yield "idempotency_keys", self._rows("idempotency_keys", self._settings.idempotency_ttl_s)
        yield "searches", self._rows("searches", self._settings.search_log_days * DAY_S)
        yield "webhook_deliveries", self._rows("webhook_deliveries", DELIVERIES_DAYS * DAY_S)
        yield "uploads", self._uploads()

    def _rows(self, what: Expiring, older_s: float) -> int:
        """Remove rows in short transactions, so that nobody waits for all of them."""
        total = 0
        while True:
            with self._db.across_owners() as tx:
                removed = tidying.remove_older(tx, what, older_s=older_s, limit=BATCH)
            total += removed
            if removed < BATCH:
                return total

    def _uploads(self) -> int:
        """Remove uploads that nobody went on with, and their parts from the storage."""
        total = 0
        while True:
            removed = remove_expired(self._db, self._storage)
            total += removed
            if removed < TIDY_BATCH:
                return total

"""The log of searches: how long each took and what was missing, written behind the answers."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from scenebook.db.engine import Database, statement
from scenebook.db.values import to_json
from scenebook.errors import ScenebookError

log = structlog.get_logger(__name__)

# Where the database is slow, searches are not logged rather than kept waiting or in memory.
MOST_WAITING = 10_000
AT_ONCE = 500
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Searched:
    """One search; it says nothing of what was looked for."""

    owner_id: UUID
    took_ms: float
    timing_ms: Mapping[str, Mapping[str, float]]
    degraded: tuple[str, ...]
    hits: int


class SearchLog:
    """Writes what is added to it, soon; it never fails a search. Any thread may add."""

    def __init__(self, db: Database, *, pause_s: float = PAUSE_S) -> None:
        self._db = db
        self._pause_s = pause_s
        self._waiting: queue.Queue[Searched] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="search-log", daemon=True)
        self._thread.start()

    def add(self, searched: Searched) -> None:
        """Log one search."""
        try:
            self._waiting.put_nowait(searched)
        except queue.Full:
            log.warning("search_not_logged")

    def close(self) -> None:
        """Write what is left."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self._write()
        while not self._waiting.empty():
            self._write()

    def _write(self) -> None:
        rows: dict[UUID, list[Searched]] = defaultdict(list)
        for _ in range(min(self._waiting.qsize(), AT_ONCE)):
            one = self._waiting.get_nowait()
            rows[one.owner_id].append(one)
        for owner_id, searches in rows.items():
            try:
                with self._db.transaction(owner_id=owner_id) as tx:
                    tx.execute(
                        statement("searches/add"),
                        {
                            "owner_id": owner_id,
                            "rows": to_json([_row(one) for one in searches]),
                        },
                    )
            except Exception as error:  # a door: one owner's rows must not end everybody's log
                unforeseen = not isinstance(error, ScenebookError)
                log.warning(
                    "searches_not_logged",
                    searches=len(searches),
                    error=str(error),
                    exc_info=unforeseen,
                )


def _row(one: Searched) -> dict[str, Any]:
    return {
        "took_ms": one.took_ms,
        "timing_ms": one.timing_ms,
        "degraded": one.degraded,
        "hits": one.hits,
    }

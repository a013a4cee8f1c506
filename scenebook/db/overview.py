"""The work of all owners as an operator looks at it: lists, counts and ids, nobody's content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import queue, spaces
from scenebook.db.engine import statement
from scenebook.db.space_changes import OF_MODEL
from scenebook.db.spaces import StoredSpace
from scenebook.model import ChannelStatus, Stage


@dataclass(frozen=True, slots=True)
class Process:
    """A worker or relay, and how long ago it said that it is alive."""

    id: str
    kind: str
    draining: bool
    version: str | None
    silent_s: float


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a worker holds; its lease may be over already."""

    id: int
    owner_id: UUID
    video_id: UUID
    stage: str
    attempt: int
    crash_count: int
    worker: str | None
    lease_s: float
    running_s: float | None


@dataclass(frozen=True, slots=True)
class Dead:
    """A job that was given up, and its last error; the message may be about content."""

    id: int
    owner_id: UUID
    video_id: UUID
    stage: Stage
    attempt: int
    crash_count: int
    finished_at: datetime
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Busy:
    """An owner with open jobs."""

    owner_id: UUID
    jobs: int
    running: int
    max_running: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment."""

    depth: list[queue.Depth]
    processes: list[Process]
    running: list[Running]
    dead: list[Dead]
    owners: list[Busy]


@dataclass(frozen=True, slots=True)
class Coverage:
    """A space, and the scenes that readers see: with vectors in it, or why without."""

    stored: StoredSpace
    vectors: int
    scenes_with: int
    scenes_without: Mapping[ChannelStatus, int]


@dataclass(frozen=True, slots=True)
class SearchMade:
    """One search that was answered; nothing of what was looked for."""

    id: UUID
    owner_id: UUID
    created_at: datetime
    took_ms: float
    timing_ms: Mapping[str, Mapping[str, float]]
    degraded: list[str]
    hits: int


def overview(tx: Connection, *, limit: int) -> Overview:
    """How the to-do list stands; at most `limit` of each kind of thing."""

    def rows(name: str) -> list[dict[str, Any]]:
        return _rows(tx, name, limit=limit)

    return Overview(
        depth=queue.depth(tx),
        processes=[
            Process(**row | {"silent_s": float(row["silent_s"])}) for row in rows("workers")
        ],
        running=[
            Running(**row | {name: _seconds(row[name]) for name in ("lease_s", "running_s")})
            for row in rows("running")
        ],
        dead=dead(tx, limit=limit),
        owners=[Busy(**row) for row in rows("owners")],
    )


def dead(
    tx: Connection,
    *,
    limit: int,
    before: tuple[datetime, int] | None = None,
    job_id: int | None = None,
) -> list[Dead]:
    """Jobs that were given up, newest first, behind `before`; or the one of this id."""
    before_at, before_id = before or (None, None)
    found = _rows(tx, "dead", limit=limit, before_at=before_at, before_id=before_id, id=job_id)
    return [Dead(**row | {"stage": Stage(row["stage"])}) for row in found]


def searches(
    tx: Connection, *, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[SearchMade]:
    """Searches, newest first, behind `before`."""
    before_at, before_id = before or (None, None)
    found = _rows(tx, "searches", limit=limit, before_at=before_at, before_id=before_id)
    return [SearchMade(**row) for row in found]


def coverage(tx: Connection) -> list[Coverage]:
    """Every space, by channel and age, with the scenes of all owners."""
    counts: dict[int, dict[str | None, int]] = defaultdict(dict)
    vectors: dict[int, int] = defaultdict(int)
    for row in _rows(tx, "spaces", of_model=[one.value for one in OF_MODEL]):
        counts[row["space_id"]][row["reason"]] = row["scenes"]
        vectors[row["space_id"]] += row["vectors"]
    return [
        Coverage(
            stored=stored,
            vectors=vectors[stored.id],
            scenes_with=counts[stored.id].get(None, 0),
            scenes_without={
                ChannelStatus(reason): scenes
                for reason, scenes in sorted(counts[stored.id].items(), key=lambda one: -one[1])
                if reason is not None
            },
        )
        for stored in spaces.all_spaces(tx)
    ]


def _rows(tx: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in tx.execute(statement(f"overview/{name}"), values)]


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)

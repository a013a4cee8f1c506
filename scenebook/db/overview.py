"""The to-do list as an operator looks at it: of all owners, without anybody's content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import queue
from scenebook.db.engine import statement


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
    """A job that was given up, and its last error."""

    id: int
    owner_id: UUID
    video_id: UUID
    stage: str
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


def overview(tx: Connection, *, limit: int) -> Overview:
    """How the to-do list stands; at most `limit` of each kind of thing."""

    def rows(name: str) -> list[dict[str, Any]]:
        found = tx.execute(statement(f"overview/{name}"), {"limit": limit})
        return [dict(row._mapping) for row in found]

    return Overview(
        depth=queue.depth(tx),
        processes=[Process(**row) for row in rows("workers")],
        running=[Running(**row) for row in rows("running")],
        dead=[Dead(**row) for row in rows("dead")],
        owners=[Busy(**row) for row in rows("owners")],
    )

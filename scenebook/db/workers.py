"""Rows of `workers`: which processes are alive, and which of them take no new jobs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from sqlalchemy import Connection

from scenebook.db.engine import statement


@dataclass(frozen=True, slots=True)
class Asked:
    """Jobs that were rung for and are unclaimed, and those that one worker runs."""

    due: int
    running: int


def beat(
    tx: Connection, worker: str, *, kind: Literal["worker", "relay"], draining: bool | None = None
) -> None:
    """Say that a process is alive.

    A draining worker claims nothing and hands back what it has; None leaves it as it is.
    """
    tx.execute(
        statement("jobs/worker_beat"),
        {"id": worker, "kind": kind, "draining": draining, "version": version("scenebook")},
    )


def asked(tx: Connection, worker: str) -> Asked:
    """What there is to do, and what this worker does."""
    row = tx.execute(statement("jobs/asked"), {"worker": worker}).one()
    return Asked(row.due, row.running)


def alive(tx: Connection, *, silent_s: float) -> dict[str, int]:
    """How many processes of each kind gave a sign of life in the last `silent_s` seconds."""
    rows = tx.execute(statement("jobs/alive"), {"silent_s": silent_s})
    return {row.kind: row.processes for row in rows}


def forget(tx: Connection) -> None:
    """Remove processes that have been silent for a day."""
    tx.execute(statement("jobs/forget_workers"))

"""The to-do list as rows: claim, heartbeat, fence, publish. What the states mean is in `jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from scenebook.db.engine import statement
from scenebook.errors import JobLost
from scenebook.model import JobState, Stage


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job; `token` fences its writes."""

    id: int
    owner_id: UUID
    video_id: UUID
    generation: int
    stage: Stage
    unit: int
    units: int
    attempt: int
    token: int
    traceparent: str | None = None

    def scenes(self, count: int) -> range:
        """The scene indices of this job's batch, of a video with `count` scenes."""
        return range(count * self.unit // self.units, count * (self.unit + 1) // self.units)


class Asked(StrEnum):
    """What a heartbeat is told about its job."""

    GO_ON = "go_on"
    CANCEL = "cancelled"
    DRAIN = "drained"  # the worker got SIGTERM: hand the job back
    OVERDUE = "overdue"  # the deadline is over, however alive the job is
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Due:
    """A job that may be published."""

    id: int
    stage: Stage


@dataclass(frozen=True, slots=True)
class Expired:
    """A job whose lease ran out, and whose it is."""

    id: int
    owner_id: UUID
    video_id: UUID


@dataclass(frozen=True, slots=True)
class Depth:
    """Unfinished jobs of one stage in one state; `oldest_s` is how long one has been due."""

    stage: Stage
    state: JobState
    jobs: int
    oldest_s: float


def claim(
    tx: Connection, job_id: int, *, worker: str, lease_s: float, deadline_s: float
) -> Job | None:
    """Take a due job, or None if it is taken, finished, not due or gone."""
    row = tx.execute(
        statement("jobs/claim"),
        {"id": job_id, "worker": worker, "lease_s": lease_s, "deadline_s": deadline_s},
    ).one_or_none()
    return None if row is None else job_from(row)


def job_from(row: Row[Any]) -> Job:
    """The job of a row of `claim.sql` or `expired_one.sql`."""
    return Job(
        id=row.id,
        owner_id=row.owner_id,
        video_id=row.video_id,
        generation=row.generation,
        stage=Stage(row.stage),
        unit=row.unit,
        units=row.units,
        attempt=row.attempt,
        token=row.lease_token,
        traceparent=row.traceparent,
    )


def beat(tx: Connection, job: Job, *, lease_s: float, progress: int, total: int | None) -> Asked:
    """Extend the lease, and hear whether to go on."""
    row = tx.execute(
        statement("jobs/beat"),
        {
            "id": job.id,
            "token": job.token,
            "lease_s": lease_s,
            "progress": progress,
            "total": total,
        },
    ).one_or_none()
    if row is None:
        return Asked.LOST
    if row.cancel_requested:
        return Asked.CANCEL
    if row.over_deadline:
        return Asked.OVERDUE
    return Asked.DRAIN if row.draining else Asked.GO_ON


@dataclass(frozen=True, slots=True)
class Held:
    """A job that is fenced: its crashes, whether it is to be cancelled, its age in seconds."""

    crashes: int
    cancel_requested: bool
    age_s: float


def fence(tx: Connection, job: Job) -> Held:
    """Hold the job until the transaction ends.

    Raises JobLost if the job's token is no longer the newest.
    """
    row = tx.execute(statement("jobs/fence"), {"id": job.id, "token": job.token}).one_or_none()
    if row is None:
        raise JobLost(f"job {job.id} is no longer held with token {job.token}")
    return Held(row.crash_count, row.cancel_requested, float(row.age_s))


def lock_video(tx: Connection, *, owner_id: UUID, video_id: UUID) -> bool:
    """Lock the video's row; False if it is gone."""
    found = tx.execute(
        statement("jobs/lock_video"), {"owner_id": owner_id, "video_id": video_id}
    ).one_or_none()
    return found is not None


def open_jobs(
    tx: Connection, *, owner_id: UUID, video_id: UUID, except_id: int = 0
) -> tuple[int, int]:
    """How many jobs of a video are unfinished, and how many of those are running."""
    row = tx.execute(
        statement("jobs/open"),
        {"owner_id": owner_id, "video_id": video_id, "except_id": except_id},
    ).one()
    return row.jobs, row.running


def due(tx: Connection, *, limit: int, republish_s: float) -> list[Due]:
    """Jobs to publish, locked: at most `max_running` in flight an owner, owners taking turns."""
    rows = tx.execute(statement("jobs/due"), {"limit": limit, "republish_s": republish_s})
    return [Due(row.id, Stage(row.stage)) for row in rows]


def mark_published(tx: Connection, ids: Sequence[int], *, published: bool = True) -> None:
    """Remember that these jobs were rung for, or that they were not after all."""
    if ids:
        tx.execute(statement("jobs/mark_published"), {"ids": list(ids), "published": published})


def expired(tx: Connection) -> list[Expired]:
    """Jobs whose worker fell silent."""
    return [
        Expired(row.id, row.owner_id, row.video_id) for row in tx.execute(statement("jobs/expired"))
    ]


def depth(tx: Connection) -> list[Depth]:
    """How much is to be done, of all owners together."""
    return [
        Depth(Stage(row.stage), JobState(row.state), row.jobs, float(row.oldest_s))
        for row in tx.execute(statement("jobs/depth"))
    ]


def dead(tx: Connection) -> dict[Stage, int]:
    """How many jobs of each stage were given up, of all owners together."""
    return {Stage(row.stage): row.jobs for row in tx.execute(statement("jobs/dead"))}

"""The to-do list as tests see it, and what must hold of its rows at every moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from scenebook import jobs
from scenebook.db import queue, videos
from scenebook.db.engine import Database
from scenebook.errors import (
    ChildDied,
    InvalidMedia,
    JobLost,
    OutOfReach,
    Postponed,
    ScenebookError,
    Unavailable,
)
from scenebook.jobs import FOLLOWS
from scenebook.model import SETTLED, Stage, VideoStatus
from scenebook.outcomes import RetryPolicy
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

# One of each kind of end of a job that did not succeed.
ERRORS: list[ScenebookError] = [
    JobLost("The job was drained."),
    Postponed("Later."),
    Unavailable("The model did not answer."),
    OutOfReach("Storage is away."),
    InvalidMedia("It is no video."),
    ChildDied("The child was killed."),
]
OPEN = frozenset({"queued", "retryable", "running"})
EDGES = frozenset(
    {
        ("queued", "running"),
        ("queued", "cancelled"),
        ("retryable", "running"),
        ("retryable", "cancelled"),
        ("running", "queued"),
        ("running", "retryable"),
        ("running", "succeeded"),
        ("running", "failed"),
        ("running", "cancelled"),
    }
)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of `jobs`; `due` is None where the next seconds decide."""

    id: int
    owner_id: UUID
    video_id: UUID
    generation: int
    stage: str
    unit: int
    state: str
    attempt: int
    crash_count: int
    lease_token: int | None
    leased: bool
    expired: bool
    overdue: bool
    finished: bool
    rung: bool
    cancel_requested: bool
    due: bool | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class VideoRow:
    """A row of `videos`."""

    id: UUID
    owner_id: UUID
    status: str
    generation: int


@dataclass(frozen=True, slots=True)
class SceneRow:
    """A row of `scenes`, and the token that wrote it."""

    owner_id: UUID
    video_id: UUID
    generation: int
    lease_token: int


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows at one moment."""

    jobs: dict[int, JobRow]
    videos: dict[UUID, VideoRow]
    scenes: list[SceneRow]

    def open_of(self, video_id: UUID) -> list[JobRow]:
        return [job for job in self.jobs.values() if job.video_id == video_id and job.is_open]


def look(connection: psycopg.Connection) -> Rows:
    """Read as the superuser, by rows and not by what our own functions say."""

    def read(kind: type, statement: str) -> list:
        return connection.cursor(row_factory=class_row(kind)).execute(statement).fetchall()

    jobs = read(
        JobRow,
        "select id, owner_id, video_id, generation, stage, unit, state, attempt, crash_count,"
        " lease_token, lease_until is not null as leased,"
        " coalesce(lease_until < now(), false) as expired,"
        " coalesce(deadline_at <= now(), false) as overdue,"
        " finished_at is not null as finished, published_at is not null as rung,"
        " cancel_requested, case when run_at <= now() then true"
        " when run_at > now() + interval '30 s' then false end as due from public.jobs",
    )
    videos = read(VideoRow, "select id, owner_id, status, generation from public.videos")
    scenes = read(SceneRow, "select owner_id, video_id, generation, lease_token from public.scenes")
    return Rows({job.id: job for job in jobs}, {one.id: one for one in videos}, scenes)


def check_moves(before: Rows, after: Rows) -> None:
    """Between two looks a job took at most one arrow of the state machine."""
    newest = max((job.lease_token or 0 for job in before.jobs.values()), default=0)
    for old in before.jobs.values():
        new = after.jobs.get(old.id)
        if new is None:
            assert not old.is_open or old.video_id not in after.videos, f"lost: {old}"
            continue
        if new.state != old.state:
            assert (old.state, new.state) in EDGES, f"{old.state} became {new.state}"
        counted = (new.attempt - old.attempt, new.crash_count - old.crash_count)
        assert counted in _counts(old.state, new.state), f"{old} became {new}"
        if old.state != "running" and new.state == "running":
            assert new.lease_token is not None
            assert new.lease_token > newest, "a token was used again"
        else:
            assert new.lease_token == old.lease_token
    for job in after.jobs.values():
        if job.id not in before.jobs:
            assert (job.state, job.attempt, job.crash_count) == ("queued", 0, 0), job


def _counts(old: str, new: str) -> Set[tuple[int, int]]:
    """By how much attempt and crash_count may change with an arrow."""
    if new == old or new in ("cancelled", "succeeded"):
        return {(0, 0)}
    if new == "running":
        return {(1, 0)}
    handed_back, tried, crashed = (-1, 0), (0, 0), (-1, 1)
    # What an outage stopped was no attempt either.
    ways = {"queued": {handed_back}, "retryable": {tried, crashed, handed_back}}
    return ways.get(new, {tried, crashed})


def check_standing(rows: Rows, *, policy: RetryPolicy) -> None:
    """What holds of one moment's rows."""
    for job in rows.jobs.values():
        assert job.leased == (job.state == "running"), job
        assert job.finished == (not job.is_open), job
        assert job.crash_count <= policy.max_crashes, job
        assert job.stage == Stage.DELETE or job.attempt <= policy.max_attempts, job
        assert job.owner_id == rows.videos[job.video_id].owner_id, job
    _check_stages(rows.jobs.values())
    for video in rows.videos.values():
        _check_status(video, rows)
    for scene in rows.scenes:
        assert scene.owner_id == rows.videos[scene.video_id].owner_id, scene


def _check_stages(jobs: Iterable[JobRow]) -> None:
    """A stage is there only once all that it follows are finished, and finalize once."""
    stages: dict[tuple[UUID, int], dict[str, bool]] = {}
    finals: Counter[tuple[UUID, int]] = Counter()
    for job in jobs:
        of = stages.setdefault((job.video_id, job.generation), {})
        of[job.stage] = of.get(job.stage, True) and job.finished
        finals[job.video_id, job.generation] += job.stage == Stage.FINALIZE
    assert all(count <= 1 for count in finals.values()), finals
    for whose, finished in stages.items():
        for stage, before in FOLLOWS.items():
            if stage in finished and stage is not Stage.PROBE:
                assert all(finished.get(one, False) for one in before), (whose, stage, finished)


def _check_status(video: VideoRow, rows: Rows) -> None:
    """A settled video has no work but what is being stopped; any other has some that goes on."""
    goes_on = [job for job in rows.open_of(video.id) if not job.cancel_requested]
    if video.status in SETTLED:
        assert goes_on == [], video
    elif video.status == VideoStatus.DELETING:
        assert {job.stage for job in goes_on} <= {Stage.DELETE}, video
        ways = [j for j in rows.jobs.values() if j.video_id == video.id and j.stage == Stage.DELETE]
        assert [job.state for job in ways if job.state not in ("failed", *OPEN)] == [], video
        assert len(ways) == 1, video
    else:
        assert goes_on, f"nothing will ever settle {video}"


def a_video(db: Database, *, owner_id: UUID, stage: Stage = Stage.PROBE) -> UUID:
    """A stored video, as rows only, with one job to do."""
    video_id = uuid4()
    with db.transaction(owner_id=owner_id) as tx:
        videos.add(
            tx, owner_id=owner_id, video_id=video_id, title="A video", source_key="key",
            content_hash=video_id.hex, size=1,
        )  # fmt: skip
        videos.uploaded(tx, owner_id=owner_id, video_id=video_id, transcript_key=None)
        jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=1, stage=stage)
    return video_id


def claimed(tools: Tools, job_id: int) -> Claim:
    """A job that a worker took and does not yet work on."""
    with tools.db.across_owners() as tx:
        job = queue.claim(tx, job_id, worker="w1", lease_s=600, deadline_s=600)
    assert job is not None
    return Claim(job, db=tools.db, beats=tools.beats, settings=tools.settings)


def ids_of(url: str, stage: Stage) -> list[int]:
    """The jobs of a stage, oldest first."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select id from public.jobs where stage = %s order by id", (stage,)
        )
        return [int(row[0]) for row in found.fetchall()]


def expire(url: str) -> None:
    """Let every lease run out."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "update public.jobs set lease_until = now() - interval '1 s' where state = 'running'"
        )

"""The operations of all owners, for operators: ids, counts, states and times, nobody's content."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api import problems
from api.caller import Operator
from api.paging import Limit, PageToken, read_page, sign_page
from api.shapes import PageOut
from api.shared import ServicesOf
from scenebook import operations
from scenebook.db.overview import Coverage, Dead
from scenebook.model import Channel, ChannelStatus, JobState, Stage

router = APIRouter(
    prefix="/v1/operations",
    tags=["operations"],
    responses=problems.responses(401, 403, 422, 429, 503),
)
PAGED = problems.responses(400, 410)
LETTERS, SEARCHES = "dead_letters", "searches"  # purposes of page tokens
JobId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The number of a job.")]


class DepthOut(BaseModel):
    """Unfinished jobs of one stage in one state."""

    stage: Stage
    state: JobState
    jobs: int
    oldest_s: float = Field(description="How long one has been due; 0 where none waits.")


class ProcessOut(BaseModel):
    """A worker or relay that was alive within a day."""

    id: str
    kind: str
    draining: bool = Field(description="It takes no new jobs and is about to end.")
    version: str | None
    silent_s: float = Field(description="Seconds since it last said that it is alive.")
    silent: bool = Field(description="For longer than a lease lasts: it has ended, or is cut off.")


class RunningOut(BaseModel):
    """A job that a worker holds."""

    job_id: int
    stage: Stage
    owner_id: UUID
    video_id: UUID
    attempt: int
    crash_count: int
    worker: str | None
    lease_s: float = Field(description="Seconds until it is swept, unless renewed.")
    running_s: float | None


class DeadLetterOut(BaseModel):
    """A job that was given up."""

    job_id: int
    stage: Stage
    owner_id: UUID
    video_id: UUID
    code: str | None = Field(description="The code of its last error.")
    message: str = Field(description="What the code means; nothing of the owner's content.")
    attempts: int
    crash_count: int
    failed_at: datetime


class BusyOwnerOut(BaseModel):
    """An owner with unfinished jobs."""

    owner_id: UUID
    jobs: int
    running: int
    max_running: int


class OperationsOut(BaseModel):
    """How the to-do list of all owners stands."""

    depth: list[DepthOut]
    processes: list[ProcessOut]
    running: list[RunningOut] = Field(description="Those whose lease ends first come first.")
    dead_letters: list[DeadLetterOut] = Field(description="The newest; the list below has all.")
    owners: list[BusyOwnerOut] = Field(description="Those with most to be done.")


class DeadLetterPage(BaseModel):
    """Dead letters, newest first."""

    data: list[DeadLetterOut]
    page: PageOut


class RetriedOut(BaseModel):
    """What a retry put on the to-do list."""

    job_id: int
    owner_id: UUID
    video_id: UUID
    stages: int = Field(description="Stages that are done anew, with what follows from them.")


class SpaceOut(BaseModel):
    """An embedding space, and how the scenes that readers see stand in it, of all owners."""

    id: int
    channel: Channel
    status: str = Field(description="active: searches ask it; building; retired.")
    model: str
    weights: str
    dimensions: int
    created_at: datetime
    activated_at: datetime | None
    vectors: int
    scenes_with: int = Field(description="Scenes with a vector in it.")
    scenes_without: dict[ChannelStatus, int] = Field(description="Scenes without one, by reason.")


class SpacesOut(BaseModel):
    """Every embedding space, by channel and age. The counts are some seconds old at most."""

    data: list[SpaceOut]


class LoggedSearchOut(BaseModel):
    """One search; what was looked for is not kept."""

    id: UUID
    at: datetime
    owner_id: UUID
    took_ms: float
    timing_ms: dict[str, dict[str, float]] = Field(description="By channel, then by step.")
    degraded: list[str] = Field(description="Channels that did not answer.")
    hits: int


class SearchesPage(BaseModel):
    """Searches, newest first."""

    data: list[LoggedSearchOut]
    page: PageOut


@router.get("", summary="Queue, processes, running jobs")
def show_operations(
    caller: Operator,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=100, description="Most rows of each kind.")] = 20,
) -> OperationsOut:
    """What is to be done, who does it, and what was given up; as `scenebook queue`."""
    found = operations.operations(services.across, limit=limit)
    patience_s = services.settings.job_lease_s
    return OperationsOut(
        depth=[DepthOut(**_fields(DepthOut, one)) for one in found.depth],
        processes=[
            ProcessOut(**_fields(ProcessOut, one), silent=one.silent_s > patience_s)
            for one in found.processes
        ],
        running=[RunningOut(job_id=one.id, **_fields(RunningOut, one)) for one in found.running],
        dead_letters=[_letter(one) for one in found.dead],
        owners=[BusyOwnerOut(**_fields(BusyOwnerOut, one)) for one in found.owners],
    )


@router.get("/dead-letters", summary="Jobs that were given up", responses=PAGED)
def list_dead_letters(
    caller: Operator, services: ServicesOf, limit: Limit = 20, page_token: PageToken = None
) -> DeadLetterPage:
    """Of all owners, newest first, without those whose video was indexed anew since."""
    owner_id = caller.owner_id
    at = read_page(services, page_token, purpose=LETTERS, owner_id=owner_id, of={})
    found = operations.dead_letters(
        services.across,
        limit=limit + 1,
        before=None if at is None else (datetime.fromisoformat(at["finished_at"]), at["id"]),
    )
    token = None
    if len(found) > limit:
        here = {"finished_at": found[limit - 1].finished_at.isoformat(), "id": found[limit - 1].id}
        token = sign_page(services, purpose=LETTERS, owner_id=owner_id, of={}, at=here)
    return DeadLetterPage(
        data=[_letter(one) for one in found[:limit]], page=PageOut(next_token=token)
    )


@router.post(
    "/dead-letters/{job_id}/retry",
    status_code=202,
    summary="Retry a dead letter",
    responses=problems.responses(404, 409),
)
def retry_dead_letter(caller: Operator, services: ServicesOf, job_id: JobId) -> RetriedOut:
    """Do again what failed of its video, in the owner's name; other videos are left alone.

    The log keeps who asked for it. A video that could not be deleted is deleted again.
    """
    done = operations.retry_dead_letter(
        services.across, services.db, operator_id=caller.owner_id, job_id=job_id
    )
    return RetriedOut(**_fields(RetriedOut, done))


@router.get("/spaces", summary="Embedding spaces and coverage")
def list_spaces(caller: Operator, services: ServicesOf) -> SpacesOut:
    """Each space with its model, its vectors, and why scenes have none."""
    found = services.coverage.get("", lambda: operations.coverage(services.across))
    return SpacesOut(data=[_space(one) for one in found])


@router.get("/searches", summary="Recent searches", responses=PAGED)
def list_searches(
    caller: Operator, services: ServicesOf, limit: Limit = 20, page_token: PageToken = None
) -> SearchesPage:
    """How long searches of all owners took, and what was missing; for SEARCH_LOG_DAYS."""
    owner_id = caller.owner_id
    at = read_page(services, page_token, purpose=SEARCHES, owner_id=owner_id, of={})
    found = operations.recent_searches(
        services.across,
        limit=limit + 1,
        before=None if at is None else (datetime.fromisoformat(at["created_at"]), UUID(at["id"])),
    )
    token = None
    if len(found) > limit:
        last = found[limit - 1]
        here = {"created_at": last.created_at.isoformat(), "id": str(last.id)}
        token = sign_page(services, purpose=SEARCHES, owner_id=owner_id, of={}, at=here)
    return SearchesPage(
        data=[
            LoggedSearchOut(at=one.created_at, **_fields(LoggedSearchOut, one))
            for one in found[:limit]
        ],
        page=PageOut(next_token=token),
    )


def _fields(shape: type[BaseModel], one: object) -> dict[str, Any]:
    """What the answer and what was read have in common."""
    return {name: getattr(one, name) for name in shape.model_fields if hasattr(one, name)}


def _letter(one: Dead) -> DeadLetterOut:
    return DeadLetterOut(
        **_fields(DeadLetterOut, one) | {"message": operations.explained(one)},
        job_id=one.id,
        attempts=one.attempt,
        failed_at=one.finished_at,
    )


def _space(one: Coverage) -> SpaceOut:
    stored = one.stored
    return SpaceOut(
        **_fields(SpaceOut, stored) | _fields(SpaceOut, stored.space) | _fields(SpaceOut, one),
    )

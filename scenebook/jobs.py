"""The to-do list: which stage follows which, and the only ways a job changes its state.

    queued --claim--> running --succeed--> succeeded
      ^                 |  |--error worth retrying--> retryable --run_at--> (claim)
      |                 |  |--any other error, or attempts used up--> failed
      |                 |  |--cancel seen at the heartbeat--> cancelled
      |                 '--lease expired (sweep): crash_count + 1--> retryable | failed
      '--hand back (SIGTERM, postpone): the attempt is refunded

Lock order everywhere: the video, then the job. Only Postgres' clock is used.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Connection

from scenebook.db import queue, scenes, videos
from scenebook.db.engine import statement
from scenebook.db.queue import Job
from scenebook.db.values import clean_error, to_json
from scenebook.model import JobState, Stage, VideoStatus

log = structlog.get_logger(__name__)

# A stage starts when every stage it follows is finished, whether it succeeded or not.
FOLLOWS: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.PROBE: (),
    Stage.SEGMENT: (Stage.PROBE,),
    Stage.TRANSCRIBE: (Stage.SEGMENT,),
    Stage.VISUAL_CLIP: (Stage.SEGMENT,),
    Stage.DESCRIBE: (Stage.TRANSCRIBE,),
    Stage.EMBED_TEXT: (Stage.DESCRIBE,),
    Stage.FINALIZE: (Stage.VISUAL_CLIP, Stage.EMBED_TEXT),
}
# Without these there is nothing to search; a failure of another stage leaves a partial video.
ESSENTIAL = frozenset({Stage.PROBE, Stage.SEGMENT, Stage.FINALIZE})
IN_BATCHES = frozenset({Stage.VISUAL_CLIP, Stage.DESCRIBE, Stage.EMBED_TEXT})
SCENES_PER_JOB = 16
MAX_JOBS_PER_STAGE = 8
MAX_BACKOFF_S = 300


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job is tried: clean failures and crashes have limits of their own."""

    max_attempts: int = 5
    max_crashes: int = 3
    backoff_s: float = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job did not succeed: a stable code, a sentence for people, and what follows."""

    code: str
    message: str
    retryable: bool
    crashed: bool = False


def enqueue(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    stage: Stage,
    units: int = 1,
) -> None:
    """Add the jobs of one stage, in the transaction of whatever causes them."""
    for unit in range(units):
        tx.execute(
            statement("jobs/add"),
            {
                "owner_id": owner_id,
                "video_id": video_id,
                "generation": generation,
                "stage": stage,
                "unit": unit,
                "units": units,
                "priority": 1 if stage is Stage.DELETE else 2,
            },
        )


def succeed(tx: Connection, job: Job) -> None:
    """Close a fenced job and start what it makes possible."""
    tx.execute(statement("jobs/succeed"), {"id": job.id, "token": job.token})
    advance(tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation)


def hand_back(tx: Connection, job: Job, *, delay_s: float = 0) -> None:
    """Give a fenced job back as if it had not been claimed."""
    _release(tx, job, state=JobState.QUEUED, attempts_back=1, delay_s=delay_s)


def cancelled(tx: Connection, job: Job) -> None:
    """Close a fenced job whose cancellation was asked for."""
    _release(tx, job, state=JobState.CANCELLED, failure=Failure("cancelled", "Cancelled.", False))


def fail(
    tx: Connection,
    job: Job,
    failure: Failure,
    *,
    policy: RetryPolicy,
    crash_count: int = 0,
) -> JobState:
    """Record a failure of a fenced or expired job: try again later, or settle what it means."""
    if failure.crashed and crash_count + 1 >= policy.max_crashes:
        failure = Failure(
            "crash_loop",
            f"The worker died {crash_count + 1} times at this job ({failure.message})",
            False,
            crashed=True,
        )
    again = failure.retryable and (failure.crashed or job.attempt < policy.max_attempts)
    tries = crash_count + 1 if failure.crashed else job.attempt
    _release(
        tx,
        job,
        state=JobState.RETRYABLE if again else JobState.FAILED,
        failure=failure,
        attempts_back=1 if failure.crashed else 0,
        crashes=1 if failure.crashed else 0,
        delay_s=_backoff(tries, base_s=policy.backoff_s) if again else 0,
    )
    if again:
        return JobState.RETRYABLE
    log.warning("job_failed", job_id=job.id, stage=job.stage, code=failure.code)
    _settle_failure(tx, job, failure)
    return JobState.FAILED


def _release(
    tx: Connection,
    job: Job,
    *,
    state: JobState,
    failure: Failure | None = None,
    attempts_back: int = 0,
    crashes: int = 0,
    delay_s: float = 0,
) -> None:
    error = None
    if failure is not None:
        message = clean_error(failure.message)
        error = to_json([{"code": failure.code, "message": message, "attempt": job.attempt}])
    tx.execute(
        statement("jobs/release"),
        {
            "id": job.id,
            "state": state,
            "attempts_back": attempts_back,
            "crashes": crashes,
            "delay_s": delay_s,
            "error": error,
        },
    )


def _backoff(tries: int, *, base_s: float) -> float:
    """Exponential with jitter, so that what failed together does not come back together."""
    return float(min(base_s * 2 ** (tries - 1), MAX_BACKOFF_S) * random.uniform(0.5, 1))


def _settle_failure(tx: Connection, job: Job, failure: Failure) -> None:
    """What a job failed for good means for its video."""
    if job.stage is Stage.DELETE:
        return  # stays in the dead-letter list; the video stays `deleting`, hidden from readers
    if job.stage in ESSENTIAL:
        cancel(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            except_id=job.id,
        )
        videos.fail(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            stage=job.stage,
            reason=failure.message,
        )
        return
    scenes.fail_channels(
        tx,
        owner_id=job.owner_id,
        video_id=job.video_id,
        generation=job.generation,
        stage=job.stage,
        unit=job.unit,
        units=job.units,
        error=failure.message,
    )
    advance(tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation)


def advance(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Add every stage whose predecessors are finished. Call with the video locked."""
    rows = tx.execute(
        statement("jobs/stages"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )
    finished = {Stage(row.stage): row.jobs == row.finished for row in rows}
    for stage, before in FOLLOWS.items():
        if stage not in finished and before and all(finished.get(one, False) for one in before):
            units = 1
            if stage in IN_BATCHES:
                count = scenes.count(
                    tx, owner_id=owner_id, video_id=video_id, generation=generation
                )
                units = max(1, min(MAX_JOBS_PER_STAGE, math.ceil(count / SCENES_PER_JOB)))
            enqueue(
                tx,
                owner_id=owner_id,
                video_id=video_id,
                generation=generation,
                stage=stage,
                units=units,
            )


def cancel(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int | None = None,
    except_id: int = 0,
) -> None:
    """End a video's jobs: what has not started at once, what runs at its next heartbeat."""
    tx.execute(
        statement("jobs/cancel"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "except_id": except_id,
        },
    )


def cancel_video(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """Stop indexing a video and leave what is stored."""
    queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
    cancel(tx, owner_id=owner_id, video_id=video_id)
    videos.set_status(tx, owner_id=owner_id, video_id=video_id, status=VideoStatus.CANCELLED)


def restart(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int, stages: Sequence[Stage]
) -> int:
    """Do these stages and all that follow anew; returns how many stages were reset.

    Call with the video locked and no job of it running.
    """
    again = set(stages)
    for stage, before in FOLLOWS.items():
        if again.intersection(before):
            again.add(stage)
    tx.execute(
        statement("jobs/remove_stages"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "stages": [stage.value for stage in again],
        },
    )
    if Stage.PROBE in again:
        enqueue(tx, owner_id=owner_id, video_id=video_id, generation=generation, stage=Stage.PROBE)
    advance(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    return len(again)


def sweep(tx: Connection, lost: queue.Expired, *, policy: RetryPolicy) -> JobState | None:
    """Settle one expired job, in a transaction of its owner; None if it came back to life."""
    if not queue.lock_video(tx, owner_id=lost.owner_id, video_id=lost.video_id):
        return None
    row = tx.execute(statement("jobs/expired_one"), {"id": lost.id}).one_or_none()
    if row is None:
        return None
    job = queue.job_from(row)
    if row.cancel_requested:
        cancelled(tx, job)
        return JobState.CANCELLED
    failure = (
        Failure("deadline", "The job ran into its deadline.", retryable=True)
        if row.over_deadline
        else Failure("worker_lost", "The worker fell silent.", retryable=True, crashed=True)
    )
    return fail(tx, job, failure, policy=policy, crash_count=row.crash_count)

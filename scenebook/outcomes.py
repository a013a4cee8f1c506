"""How a job ends: it succeeds, is tried again, fails for good, is cancelled or handed back."""

from __future__ import annotations

import random
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from scenebook import metrics, settling, tracing
from scenebook.db import queue, scenes
from scenebook.db.engine import statement
from scenebook.db.queue import Job
from scenebook.db.values import clean_error, to_json
from scenebook.jobs import ESSENTIAL, advance, cancel
from scenebook.model import JobState, Stage

log = structlog.get_logger(__name__)

MAX_BACKOFF_S = 300
# The database or the storage is asked again as after so many failures, for as long as it is away.
OUTAGE_TRIES = 4
# What is away for longer, for this job at least, is taken for its own failure.
OUTAGE_PATIENCE_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job is tried: clean failures and crashes have limits of their own."""

    max_attempts: int = 5
    max_crashes: int = 3
    backoff_s: float = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job did not succeed: a stable code, a sentence for people, and what follows.

    An outage is nobody's failure: it uses up no attempt.
    """

    code: str
    message: str
    retryable: bool
    crashed: bool = False
    outage: bool = False


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
    again = failure.retryable and (
        failure.crashed
        or failure.outage
        or job.attempt < policy.max_attempts
        # Nobody else removes what an owner wants gone; it is tried until storage is back.
        or job.stage is Stage.DELETE
    )
    tries = crash_count + 1 if failure.crashed else job.attempt
    tries = OUTAGE_TRIES if failure.outage else tries
    _release(
        tx,
        job,
        state=JobState.RETRYABLE if again else JobState.FAILED,
        failure=failure,
        attempts_back=1 if failure.crashed or failure.outage else 0,
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
        settling.fail(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            stage=job.stage,
            reason=failure.message,
        )
        return
    failed = scenes.fail_channels(
        tx,
        owner_id=job.owner_id,
        video_id=job.video_id,
        generation=job.generation,
        stage=job.stage,
        unit=job.unit,
        units=job.units,
        error=failure.message,
    )
    metrics.count_settled(failed)
    advance(tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation)


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
    with tracing.continued(job.traceparent):
        return fail(tx, job, failure, policy=policy, crash_count=row.crash_count)

"""The door: a job id comes in, is claimed, runs its stage, and its outcome is recorded once."""

from __future__ import annotations

import os
import socket
import time

import structlog

from scenebook import metrics, outcomes, tracing
from scenebook.db import queue, videos, workers
from scenebook.db.queue import Job
from scenebook.errors import ChildDied, JobLost, OutOfReach, Postponed, ScenebookError, Unavailable
from scenebook.outcomes import Failure, RetryPolicy
from scenebook.process_ids import started
from scenebook.settings import Settings
from scenebook.storage import video_prefix
from worker import watchdog
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.indexing import STAGES
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)

POSTPONED_S = 1.0


def worker_id(pid: int | None = None) -> str:
    """The name of a worker: its host, and the id and the start of its parent process.

    A restarted container often gives the same id again, and a name that drains claims nothing.
    """
    pid = pid or os.getppid()
    return f"{socket.gethostname()}:{pid}:{started(pid)}"


def policy(settings: Settings) -> RetryPolicy:
    """How often a job is tried."""
    return RetryPolicy(settings.job_max_attempts, settings.job_max_crashes, settings.job_backoff_s)


def run_job(tools: Tools, job_id: int, *, worker: str) -> None:
    """Claim a job and do it. A job that is taken, finished or gone is a no-op."""
    settings = tools.settings
    with tools.db.across_owners() as tx:
        job = queue.claim(
            tx,
            job_id,
            worker=worker,
            lease_s=settings.job_lease_s,
            deadline_s=settings.job_deadline_s,
        )
        if job is not None:
            workers.beat(tx, worker, kind="worker")
    if job is None:
        log.debug("job_not_claimed", job_id=job_id)
        return
    watchdog.claimed()
    with (
        tracing.continued(job.traceparent),
        structlog.contextvars.bound_contextvars(
            job_id=job.id,
            stage=job.stage.value,
            owner_id=str(job.owner_id),
            video_id=str(job.video_id),
            attempt=job.attempt,
            lease_token=job.token,
        ),
    ):
        failpoint("after_claim", settings)
        _run_claimed(tools, job)


def _run_claimed(tools: Tools, job: Job) -> None:
    again = "again" if job.attempt > 1 else "first"
    metrics.JOB_ATTEMPTS.labels(job.stage.value, again).inc()
    claim = Claim(job, db=tools.db, beats=tools.beats, settings=tools.settings)
    began = time.monotonic()
    with claim.held():
        failure = _attempt(tools, claim)
        seconds = time.monotonic() - began
        outcome = "succeeded"
        if failure is not None:
            outcome = _record(tools, claim, failure)
    metrics.JOBS.labels(job.stage.value, outcome).inc()
    metrics.STAGE_SECONDS.labels(job.stage.value).observe(seconds)
    log.info("job_done", outcome=outcome, seconds=round(seconds, 3))


def _attempt(tools: Tools, claim: Claim) -> ScenebookError | None:
    """Run the stage; whatever goes wrong comes back as one of our errors.

    A MemoryError that reaches Celery ends the whole worker, so nothing may pass here.
    """
    job = claim.job
    try:
        with tools.db.transaction(owner_id=job.owner_id) as tx:
            videos.started(tx, owner_id=job.owner_id, video_id=job.video_id)
        STAGES[job.stage](tools, claim)
        return None
    except ScenebookError as error:
        try:
            claim.check()
        except ScenebookError as reason:  # the child died because the job had to end
            return reason
        return error
    except (Exception, SystemExit) as error:
        log.exception("job_broke")
        # The details may name paths or rows of others; they are in the log, not in the answer.
        failed = ScenebookError(
            f"An unexpected error ({type(error).__name__}) stopped this; the log of job {job.id} "
            "says more."
        )
        failed.retryable = True
        return failed


def _record(tools: Tools, claim: Claim, error: ScenebookError) -> str:
    """Write the outcome, as long as the lease may still be ours; the sweep does the rest."""
    give_up_at = time.monotonic() + tools.settings.job_lease_s
    while True:
        try:
            return _recorded(tools, claim, error)
        except JobLost:
            log.warning("job_lost", error=str(error))
            _remove_orphans(tools, claim.job)
            return "lost"
        except Unavailable as away:
            if time.monotonic() > give_up_at:
                log.error("outcome_not_recorded", error=str(away))
                return "unrecorded"
            time.sleep(min(1.0, tools.settings.job_beat_s))


def _remove_orphans(tools: Tools, job: Job) -> None:
    """What a job stored after its video was deleted is nobody's, and nobody else removes it."""
    try:
        with tools.db.transaction(owner_id=job.owner_id) as tx:
            if queue.lock_video(tx, owner_id=job.owner_id, video_id=job.video_id):
                return
        tools.storage.delete_prefix(video_prefix(owner_id=job.owner_id, video_id=job.video_id))
    except Unavailable as away:  # `scenebook reconcile` finds what is left
        log.warning("orphans_left", error=str(away))


def _recorded(tools: Tools, claim: Claim, error: ScenebookError) -> str:
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        held = claim.lock(tx)
        if held.cancel_requested:
            outcomes.cancelled(tx, job)
            return "cancelled"
        if isinstance(error, JobLost):  # drained, or out of touch for a while and still ours
            outcomes.hand_back(tx, job)
            return "handed_back"
        if isinstance(error, Postponed):
            outcomes.hand_back(tx, job, delay_s=POSTPONED_S)
            return "postponed"
        crashed = isinstance(error, ChildDied)
        # A full disk may be too small for this very file, so that is not waited for endlessly.
        outage = (
            isinstance(error, OutOfReach)
            and error.code != "disk_full"
            and held.age_s < outcomes.OUTAGE_PATIENCE_S
        )
        failure = Failure(error.code, str(error), error.retryable, crashed, outage)
        state = outcomes.fail(
            tx, job, failure, policy=policy(tools.settings), crash_count=held.crashes
        )
        log.warning("job_error", code=error.code, error=str(error), state=state.value)
        return state.value

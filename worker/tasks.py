"""The Celery tasks, one a stage: parse an id, call one function, return nothing."""

from __future__ import annotations

from scenebook.errors import Unavailable
from scenebook.model import Stage
from worker.app import app
from worker.door import run_job, worker_id
from worker.pipeline import draining
from worker.process import tools


def do_job(job_id: int) -> None:
    """Do the job with this id, if it is still to be done; its row says which stage it is."""
    if draining.asked():
        return
    try:
        run_job(tools(), int(job_id), worker=worker_id())
    except MemoryError:
        # It ends the whole worker if Celery sees it. The lease expires, and the job is tried again.
        raise Unavailable("There was not enough memory to claim a job, or to end it.") from None


# A task a stage, so that logs, metrics and the broker name the work.
TASKS = {
    stage: app.task(name=stage.value, acks_late=False, ignore_result=True, max_retries=0)(do_job)
    for stage in Stage
}

"""The to-do list as gauges: the relay reads it in the database, of all owners together.

Only the relay imports this: a worker or the API would show zeros for what it never looks at.
"""

from __future__ import annotations

from prometheus_client import Gauge
from sqlalchemy import Connection

from scenebook.db import queue, workers
from scenebook.model import JobState, Stage

OPEN_JOBS = Gauge("scenebook_open_jobs", "Unfinished jobs by stage and state.", ["stage", "state"])
OLDEST_DUE_SECONDS = Gauge(
    "scenebook_oldest_due_seconds", "Age of the oldest job that is due, by stage.", ["stage"]
)
DEAD_JOBS = Gauge("scenebook_dead_jobs", "Jobs that were given up, by stage.", ["stage"])
PROCESSES = Gauge(
    "scenebook_processes_alive", "Workers and relays that gave a sign of life lately.", ["kind"]
)
WAITING_RINGS = Gauge("scenebook_waiting_rings", "Messages in the broker that no worker has taken.")
BROKER_UP = Gauge("scenebook_broker_up", "Whether the broker answered when it was last asked.")
MEASURED_AT = Gauge(
    "scenebook_measured_timestamp_seconds", "When the to-do list was last measured, in Unix time."
)

UNFINISHED = (JobState.QUEUED, JobState.RETRYABLE, JobState.RUNNING)


def measure(tx: Connection, *, silent_s: float) -> None:
    """Set the gauges; whoever gave no sign of life for `silent_s` is not alive.

    Every series is set each time: one that is left out would keep its last number.
    """
    depth = queue.depth(tx)
    jobs = {(one.stage, one.state): one.jobs for one in depth}
    dead = queue.dead(tx)
    alive = workers.alive(tx, silent_s=silent_s)
    for stage in Stage:
        for state in UNFINISHED:
            OPEN_JOBS.labels(stage.value, state.value).set(jobs.get((stage, state), 0))
        oldest_s = max((one.oldest_s for one in depth if one.stage is stage), default=0.0)
        # One that is to be tried again later is not due yet.
        OLDEST_DUE_SECONDS.labels(stage.value).set(max(0.0, oldest_s))
        DEAD_JOBS.labels(stage.value).set(dead.get(stage, 0))
    for kind in ("worker", "relay"):
        PROCESSES.labels(kind).set(alive.get(kind, 0))
    MEASURED_AT.set_to_current_time()

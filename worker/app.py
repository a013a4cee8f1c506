"""The Celery application: the doorbell. Correctness rests on Postgres alone."""

from __future__ import annotations

import os
import sys
from typing import Any

import structlog
from celery import Celery, signals

from scenebook import logs
from scenebook.db import workers
from scenebook.db.engine import Database, Role
from scenebook.errors import ScenebookError
from scenebook.settings import get_settings
from scenebook.temporary import remove_abandoned
from worker import exposition
from worker.process import close_tools

log = structlog.get_logger(__name__)

# Decoding and models live in child processes; used before a fork they deadlock after it.
HEAVY = frozenset({"torch", "av", "cv2", "open_clip", "onnxruntime", "faster_whisper"})

app = Celery("scenebook", config_source="worker.celeryconfig", include=["worker.tasks"])
signals.import_modules.connect(exposition.prepare)
signals.worker_init.connect(exposition.serve)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    logs.configure(get_settings())


@signals.worker_init.connect
def _check_before_the_fork(**_: Any) -> None:
    loaded = HEAVY.intersection(sys.modules)
    if loaded:
        # Celery reports an exception of a signal handler and goes on; this one it obeys.
        raise SystemExit(f"{', '.join(sorted(loaded))} must not be loaded before the fork.")
    remove_abandoned()
    _announce(draining=False)


@signals.worker_process_shutdown.connect
def _leave_process(**_: Any) -> None:
    close_tools()


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    """SIGTERM: claim nothing more; the heartbeats of running jobs hand them back."""
    _announce(draining=True)


def _announce(*, draining: bool) -> None:
    """Connect for one statement only: a connection must not be inherited by a fork."""
    from worker.door import worker_id  # makes metrics, for which `exposition` comes first

    url = get_settings().database_url
    if url is None:
        raise SystemExit("DATABASE_URL is not set. Run `scenebook up`, or set it.")
    db = Database(url, role=Role.WORKER, pool_size=1)
    try:
        with db.across_owners() as tx:
            workers.beat(tx, worker_id(os.getpid()), kind="worker", draining=draining)
    except ScenebookError as error:
        log.warning("worker_not_announced", draining=draining, error=str(error))
    finally:
        db.close()

"""The Celery application: the doorbell. Correctness rests on Postgres alone."""

from __future__ import annotations

import os
import sys
from typing import Any

import structlog
from billiard.util import get_logger
from celery import Celery, signals
from celery.worker import state

from scenebook import logs
from scenebook.db import workers
from scenebook.db.engine import Database, Role
from scenebook.errors import ConfigurationError, ScenebookError
from scenebook.settings import get_settings
from scenebook.temporary import remove_abandoned
from worker import exposition
from worker.pipeline import draining
from worker.watchdog import Unanswered, Watchdog, patience_s

log = structlog.get_logger(__name__)

# Decoding and models live in child processes; used before a fork they deadlock after it.
HEAVY = frozenset({"torch", "av", "cv2", "open_clip", "onnxruntime", "faster_whisper"})

app = Celery("scenebook", config_source="worker.celeryconfig", include=["worker.tasks"])
signals.import_modules.connect(exposition.prepare)
signals.worker_init.connect(exposition.serve)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    from celery.apps import worker as program  # not for the relay

    logs.configure(get_settings())
    get_logger().propagate = True  # what the pool says is a line like any other
    # It says past every log that it stops; `_drain` says so in a line like any other.
    program.safe_say = _say_nothing


def _say_nothing(*_: Any) -> None:
    """Instead of Celery's banners."""


@signals.worker_init.connect
def _check_before_the_fork(**_: Any) -> None:
    loaded = HEAVY.intersection(sys.modules)
    if loaded:
        # Celery reports an exception of a signal handler and goes on; this one it obeys.
        raise SystemExit(f"{', '.join(sorted(loaded))} must not be loaded before the fork.")
    remove_abandoned()
    _announce(draining=False)
    _watch()


@signals.worker_process_shutdown.connect
def _leave_process(**_: Any) -> None:
    from worker.process import close_tools  # makes metrics, for which `exposition` comes first

    close_tools()


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    """SIGTERM: claim nothing more; the heartbeats of running jobs hand them back."""
    log.info("worker_draining")
    draining.begin()
    for watchdog in _watchdogs:
        watchdog.stop()
    _announce(draining=True)


_watchdogs: list[Watchdog] = []


def _watch() -> None:
    """Look from now on whether this worker does what it is asked to."""
    from worker.door import worker_id

    settings = get_settings()
    name = worker_id(os.getpid())
    look = Unanswered(settings, name=name, received=lambda: state.all_total_count[0])
    _watchdogs.append(Watchdog(look, patience_s=patience_s(settings)))
    _watchdogs[-1].start()


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
    except ConfigurationError as problem:
        raise SystemExit(f"scenebook worker: {problem}") from None
    except ScenebookError as error:
        log.warning("worker_not_announced", draining=draining, error=str(error))
    finally:
        db.close()

"""The watchdog: a process that is asked to work and does not, ends, to be started again.

What is away (Postgres, the broker) is never a reason to end: nothing would be better afterwards.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import NoReturn

import psutil
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from scenebook.db import workers
from scenebook.db.engine import Database, Role
from scenebook.db.workers import Asked
from scenebook.errors import ScenebookError
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

# What a supervisor sees: an internal error, and worth another start.
STATUS = os.EX_SOFTWARE
QUEUE = "scenebook"
BROKER_TIMEOUT_S = 2.0
# How often in its patience a watchdog looks; each look must find the same.
LOOKS = 3
# How long the end of this process waits for a look.
LAST_LOOK_S = 10.0

# A process must not be forked in the middle of a look: it would inherit half of a connection.
_looking = threading.RLock()
os.register_at_fork(
    before=_looking.acquire, after_in_parent=_looking.release, after_in_child=_looking.release
)
# When a process of this worker last claimed a job; forked processes share the page.
_claimed_at = mmap.mmap(-1, 8)


def claimed() -> None:
    """Tell the parent's watchdog that a job was claimed."""
    struct.pack_into("d", _claimed_at, 0, time.monotonic())


def patience_s(settings: Settings) -> float:
    """How long something may look wrong: long enough for each look to see a ring."""
    return max(settings.watchdog_s, 4 * settings.job_republish_s)


class Watchdog:
    """A thread that ends this process when `look` finds the same fault for `patience_s`.

    `look` says what is wrong, or None; an error of Postgres or the broker counts as None.
    """

    def __init__(self, look: Callable[[], str | None], *, patience_s: float) -> None:
        self._look = look
        self._patience_s = patience_s
        self._over = threading.Event()

    def start(self) -> None:
        """Look until `stop`."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """No look begins from now on; the one in progress is waited for, but not for ever.

        Signal handlers call this, in the middle of anything that a look may wait for.
        """
        self._over.set()
        if _looking.acquire(timeout=LAST_LOOK_S):
            _looking.release()

    def _run(self) -> None:
        since: float | None = None
        while not self._over.wait(self._patience_s / LOOKS):
            wrong = self._looked()
            now = time.monotonic()
            if wrong is None:
                since = None
                continue
            since = since if since is not None else now
            log.warning("watchdog_barks", seen=wrong, for_s=round(now - since, 1))
            if now - since >= self._patience_s and not self._over.is_set():
                log.error("watchdog_bites", seen=wrong, for_s=round(now - since, 1), status=STATUS)
                _end()

    def _looked(self) -> str | None:
        with _looking:
            if self._over.is_set():
                return None
            try:
                return self._look()
            except (ScenebookError, redis.RedisError, OSError) as error:
                log.warning("watchdog_cannot_look", error=str(error))
            except Exception:  # a bug in here must not end what works
                log.exception("watchdog_broke")
            return None


class Unanswered:
    """Whether the doorbell rings, jobs are due, every slot is free, and nothing is claimed.

    `received` counts the messages that this worker took from the queue. Each look also says in
    the database that the worker lives.
    """

    def __init__(self, settings: Settings, *, name: str, received: Callable[[], int]) -> None:
        self._settings = settings
        self._name = name
        self._received = received
        self._before = (received(), time.monotonic())

    def __call__(self) -> str | None:
        """What is wrong, or None."""
        received, looked_at = self._before
        self._before = (self._received(), time.monotonic())
        waiting = waiting_messages(self._settings)
        asked = self._asked()
        taken = self._before[0] - received
        (claimed_at,) = struct.unpack_from("d", _claimed_at)
        if not asked.due or asked.running or claimed_at >= looked_at or not (waiting or taken):
            return None
        return (
            f"{asked.due} jobs are due, {waiting} messages wait, {taken} were taken, none of this "
            "worker's slots is in use, and it claims nothing"
        )

    def _asked(self) -> Asked:
        assert self._settings.database_url is not None
        db = Database(self._settings.database_url, role=Role.WORKER, pool_size=1)
        with closing(db), db.across_owners() as tx:
            workers.beat(tx, self._name, kind="worker")
            return workers.asked(tx, self._name)


class Stuck:
    """Whether the same round of the relay goes on although Postgres and the broker answer.

    `round_now` is the number of the round in progress and what is done of it, None between two.
    """

    def __init__(
        self, settings: Settings, *, round_now: Callable[[], tuple[int, int] | None]
    ) -> None:
        self._settings = settings
        self._round_now = round_now
        self._before: tuple[int, int] | None = None

    def __call__(self) -> str | None:
        """What is wrong, or None."""
        before, self._before = self._before, self._round_now()
        if self._before is None or self._before != before:
            return None
        assert self._settings.database_url is not None
        db = Database(self._settings.database_url, role=Role.RELAY, pool_size=1)
        with closing(db), db.across_owners() as tx:
            workers.asked(tx, "nobody")
        waiting_messages(self._settings)
        return f"round {self._before[0]} does not move although Postgres and the broker answer"


def waiting_messages(settings: Settings) -> int:
    """How many messages lie in the queue; RedisError if the broker does not say so in time."""
    assert settings.redis_url is not None
    # Celery's way to name a socket is not redis-py's.
    plain = settings.redis_url.replace("redis+socket://", "unix://", 1)
    broker = redis.Redis.from_url(
        plain,
        socket_timeout=BROKER_TIMEOUT_S,
        socket_connect_timeout=BROKER_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    with closing(broker):
        broker.ping()
        return int(broker.llen(QUEUE))


def _end() -> NoReturn:
    """End at once, with every descendant: whatever hangs would not let us end in order."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(STATUS)

"""Whether this process can answer requests now: asked often, so never slow and seldom asking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy import text

from scenebook.db import schema
from scenebook.db.engine import Database
from scenebook.errors import ScenebookError
from scenebook.short_redis import ShortRedis
from scenebook.storage import Storage
from scenebook.warming import Warming

log = structlog.get_logger(__name__)

FRESH_S = 2.0
DEADLINE_S = 3.0
# A schema that fits changes only by a deployment, which starts other processes.
SCHEMA_FRESH_S = 60.0
LEAST_PGVECTOR = (0, 8)
NO_SUCH_OBJECT = "readyz"

Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Reasons not to send requests here, and what is missing while they are answered."""

    unready: tuple[str, ...]
    degraded: tuple[str, ...]


class Inspector:
    """Asks what we stand on, each thing in a thread of its own and all within a deadline."""

    def __init__(
        self, url: str, db: Database, storage: Storage, redis: ShortRedis, warming: Warming
    ) -> None:
        self._url = url
        self._db = db
        self._storage = storage
        self._redis = redis
        self._warming = warming
        self._checks: Mapping[str, Check] = {
            "database": self._database,
            "schema": self._schema,
            "storage": self._stored,
            "encoders": warming.waiting,
        }
        self._threads = ThreadPoolExecutor(len(self._checks), thread_name_prefix="check")
        # Its own thread: whoever waits for the checks must not take a place from them.
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="readyz")
        self._asked: dict[str, Future[str | None]] = {}
        self._known: tuple[float, Readiness] | None = None
        self._schema_known_at = float("-inf")

    def look(self) -> Future[Readiness]:
        """Begin to look; the answer comes within the deadline, or at once if it is fresh."""
        return self._looker.submit(self._look)

    def close(self) -> None:
        """Ask nothing more."""
        self._looker.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> Readiness:
        if self._known is None or time.monotonic() - self._known[0] >= FRESH_S:
            found = Readiness(tuple(self._reasons()), tuple(self._missing()))
            self._known = (time.monotonic(), found)
        return self._known[1]

    def _reasons(self) -> list[str]:
        for name, check in self._checks.items():
            before = self._asked.get(name)
            if before is None or before.done():  # what still hangs is not asked once more
                self._asked[name] = self._threads.submit(_guarded, check)
        wait(self._asked.values(), timeout=DEADLINE_S)
        reasons = []
        for name, answer in self._asked.items():
            reason = answer.result() if answer.done() else f"No answer in {DEADLINE_S:.0f} s."
            if reason is not None:
                reasons.append(f"{name}: {reason}")
        return reasons

    def _missing(self) -> list[str]:
        missing = [f"{channel}: {reason}" for channel, reason in self._warming.failed().items()]
        if self._redis.client is not None and not self._redis.ask(
            "readyz", lambda client: bool(client.ping()), False
        ):
            missing.append("broker: Redis does not answer. Videos wait, and limits are looser.")
        return sorted(missing)

    def _database(self) -> str | None:
        with self._db.across_owners() as tx:
            version = tx.execute(
                text("select extversion from pg_catalog.pg_extension where extname = 'vector'")
            ).scalar()
        if version is None:
            return "pgvector is not installed. Run `scenebook migrate`."
        if tuple(int(part) for part in version.split(".")[:2]) < LEAST_PGVECTOR:
            return f"pgvector {version} is too old; 0.8 or newer is needed."
        return None

    def _schema(self) -> str | None:
        if time.monotonic() - self._schema_known_at < SCHEMA_FRESH_S:
            return None
        if not schema.is_at_head(self._url):
            return "It is not at the newest revision. Run `scenebook migrate`."
        self._schema_known_at = time.monotonic()
        return None

    def _stored(self) -> str | None:
        with suppress(FileNotFoundError):  # an answer is all that is asked for
            self._storage.size(NO_SUCH_OBJECT)
        return None


def _guarded(check: Check) -> str | None:
    """What a check says, in words that may be shown: ours, which name no host and no secret."""
    try:
        return check()
    except ScenebookError as error:
        return str(error)
    except Exception:  # a door: what hangs from it is asked again soon
        log.exception("readiness_check_broke")
        return "An unexpected error; the log says more."

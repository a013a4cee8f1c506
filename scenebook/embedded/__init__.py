"""Embedded Postgres and Redis, for a machine that has nothing but Python.

One process owns the servers of a data directory: it holds a lock on it, and both servers end with
it, even after `kill -9`. Other processes find them with `adopt_running`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory
from scenebook.embedded.redis import EmbeddedRedis
from scenebook.errors import Conflict

# sun_path holds 108 bytes with its NUL; the longest name in the directory is .s.PGSQL.5432.
SOCKET_PATH_BYTES = 107
LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"
LOCK_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class RunningServices:
    """Where the embedded servers of a data directory answer, and the process that owns them."""

    owner_pid: int
    database_url: str
    redis_url: str


class EmbeddedServices:
    """The embedded servers of one data directory, owned by this process.

    Start it from the main thread: the servers end with the thread that started them. With
    `durable=False` Postgres forgoes fsync, for tests.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        socket_dir = _socket_dir(self.data_dir)
        self._postgres = EmbeddedPostgres(self.data_dir, socket_dir=socket_dir, durable=durable)
        self._redis = EmbeddedRedis(self.data_dir, socket_dir=socket_dir)
        self._socket_dir = socket_dir
        self._lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        """URL of the database for SQLAlchemy."""
        return self._postgres.url()

    @property
    def redis_url(self) -> str:
        """URL of the broker for Celery."""
        return self._redis.url

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running servers."""
        return tuple(pid for pid in (self._postgres.pid, self._redis.pid) if pid is not None)

    def start(self) -> None:
        """Start both servers; raises Conflict when another process owns the directory."""
        _make_home(self.data_dir)
        self._lock = _locked(self.data_dir)
        try:
            private_directory(self._socket_dir)
            self._postgres.start()
            self._redis.start()
            self._publish()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Start a server again that has ended by itself."""
        if self._lock is not None:
            self._postgres.check()
            self._redis.check()

    def stop(self) -> None:
        """Stop both servers and give the directory up; safe to call twice."""
        if self._lock is None:
            return
        _state_file(self.data_dir).unlink(missing_ok=True)
        self._redis.stop()
        self._postgres.stop()
        if self._socket_dir.parent != self.data_dir:
            with contextlib.suppress(OSError):
                self._socket_dir.rmdir()
        self._lock.close()
        self._lock = None

    def __enter__(self) -> EmbeddedServices:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _publish(self) -> None:
        state = RunningServices(os.getpid(), self.database_url, self.redis_url)
        unfinished = _state_file(self.data_dir).with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(state)))
        unfinished.rename(_state_file(self.data_dir))


def adopt_running(data_dir: Path) -> RunningServices | None:
    """The servers that another process runs on a data directory, or None."""
    home = data_dir.resolve()
    try:
        state = RunningServices(**json.loads(_state_file(home).read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return state
    return None  # the owner died without tidying up


def _make_home(data_dir: Path) -> None:
    # Only a directory of our own is closed to others: the setting may name a shared one.
    if not data_dir.exists() or not any(data_dir.iterdir()):
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o700)


def _locked(data_dir: Path) -> IO[str]:
    """An open file that holds the directory's lock until it is closed."""
    lock = (data_dir / "lock").open("a+")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # adopt_running holds it for an instant; an owner holds it for long.
            if time.monotonic() > deadline:
                lock.close()
                raise Conflict(
                    f"Another scenebook is running in {data_dir}. Stop it, or work beside it: "
                    "index, status, scenes and search find its servers by themselves."
                ) from None
            time.sleep(0.05)
        else:
            return lock


def _socket_dir(data_dir: Path) -> Path:
    """`run` in the data directory, or a short directory in /tmp when that path is too long."""
    preferred = data_dir / "run"
    if len(os.fsencode(preferred)) + len(LONGEST_SOCKET_NAME) <= SOCKET_PATH_BYTES:
        return preferred
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path("/tmp") / f"scenebook-{digest}"


def _state_file(data_dir: Path) -> Path:
    return data_dir / "services.json"

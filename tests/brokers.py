"""A Redis of a test's own, which it may freeze, fill or end, and a client of one."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from scenebook.embedded.process import private_directory
from scenebook.embedded.redis import EmbeddedRedis


@contextmanager
def a_broker() -> Iterator[EmbeddedRedis]:
    """A running Redis, ended afterwards even if it is frozen."""
    # Not below pytest's directory: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="scenebook-test-") as home:
        server = EmbeddedRedis(Path(home), socket_dir=private_directory(Path(home) / "run"))
        server.start()
        try:
            yield server
        finally:
            if server.pid is not None:
                os.kill(server.pid, signal.SIGCONT)
            server.stop()


def client_of(url: str | None) -> redis.Redis:
    """A client of the Redis at this address of ours, on its socket."""
    assert url is not None
    return redis.Redis.from_url(url.replace("redis+socket://", "unix://"))

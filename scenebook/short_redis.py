"""Redis inside a request: 50 ms at most, never an error, and left alone while it is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from scenebook import metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

TIMEOUT_S = 0.05
REST_S = 5.0
# More than there are threads: who gets no connection fails, and Redis would count as away.
CONNECTIONS = 256


class ShortRedis:
    """A cache that may be absent. After a failure it is not asked for a few seconds.

    `client` is None without a URL. Threads may share one.
    """

    def __init__(self, url: str | None, *, rest_s: float = REST_S) -> None:
        self.client = _client(url) if url is not None else None
        self._rest_s = rest_s
        self._rests_until = 0.0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or Redis did not answer in time."""
        return self.ask("get", lambda client: client.get(key), None)  # type: ignore[return-value]

    def set(self, key: str, value: bytes, ttl_s: int) -> None:
        """Keep the value for `ttl_s` seconds, if Redis answers in time."""
        self.ask("set", lambda client: client.set(key, value, ex=ttl_s), None)

    def ask(self, use: str, question: Callable[[redis.Redis], T], otherwise: T) -> T:
        """The answer to a question, or `otherwise` when Redis is away; `use` is for metrics."""
        if self.client is None:
            return otherwise
        if not self.awake():
            metrics.REDIS_FALLBACKS.labels(use).inc()
            return otherwise
        try:
            return question(self.client)
        except (redis.RedisError, OSError) as error:
            self._rest(use, error)
            return otherwise

    def awake(self) -> bool:
        """Whether Redis is there and did not fail a moment ago."""
        return self.client is not None and time.monotonic() >= self._rests_until

    def _rest(self, use: str, error: Exception) -> None:
        metrics.REDIS_FALLBACKS.labels(use).inc()
        with self._lock:
            first = time.monotonic() >= self._rests_until
            self._rests_until = time.monotonic() + self._rest_s
        if first:
            log.warning("redis_away", use=use, error=type(error).__name__, rest_s=self._rest_s)

    def close(self) -> None:
        """Close every connection."""
        if self.client is not None:
            self.client.close()
            self.client.connection_pool.disconnect()


def _client(url: str) -> redis.Redis:
    # Celery's way to name a socket is not redis-py's.
    plain = url.replace("redis+socket://", "unix://", 1)
    return redis.Redis.from_url(
        plain,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        # The library repeats a failed command with pauses unless it is told not to.
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS,
    )

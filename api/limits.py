"""Rate limits by owner, by key and, for strangers, by address; Redis counts for all processes.

While Redis is away each process counts for itself: limits are looser then, and never open.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from scenebook import metrics
from scenebook.errors import ConfigurationError, RateLimited
from scenebook.settings import Settings
from scenebook.short_redis import ShortRedis

T = TypeVar("T")

# Attempts with a wrong key or token, or none, from one address.
STRANGERS = "60/minute"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the tightest limit; seconds until some of it comes back."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The allowance for the client."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class Limiter:
    """Counts requests. Threads may share one."""

    def __init__(self, settings: Settings, redis: ShortRedis) -> None:
        self._of_owner = _parsed("RATE_LIMIT_OWNER", settings.rate_limit_owner)
        self._of_key = _parsed("RATE_LIMIT_KEY", settings.rate_limit_key)
        self._of_stranger = _parsed("strangers", STRANGERS)
        self._redis = redis
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._everywhere = (
            SlidingWindowCounterRateLimiter(
                RedisStorage(
                    "redis://",
                    connection_pool=redis.client.connection_pool,
                    key_prefix="scenebook:rate",
                )
            )
            if redis.client is not None
            else None
        )

    def admit(self, *, owner_id: UUID, key: str) -> Allowance:
        """Count one request of this caller. Raises RateLimited, saying when to come again."""
        wanted = [(item, "key", f"{owner_id}/{key}") for item in self._of_key]
        wanted += [(item, "owner", str(owner_id)) for item in self._of_owner]
        return self._counted(lambda counter: _hit(counter, wanted))

    def greet_stranger(self, address: str) -> None:
        """Raises RateLimited if this address was refused too often lately."""
        wanted = [(item, "stranger", address) for item in self._of_stranger]
        self._counted(lambda counter: _look(counter, wanted))

    def refused_stranger(self, address: str) -> None:
        """Count an attempt of an address without a valid key or token. Raises RateLimited."""
        wanted = [(item, "stranger", address) for item in self._of_stranger]
        self._counted(lambda counter: _hit(counter, wanted))

    def _counted(self, count: Callable[[SlidingWindowCounterRateLimiter], T]) -> T:
        everywhere = self._everywhere
        if everywhere is not None:
            found = self._redis.ask("limits", lambda _client: count(everywhere), None)
            if found is not None:
                return found
        return count(self._here)


Wanted = Sequence[tuple[RateLimitItem, str, str]]


def _hit(counter: SlidingWindowCounterRateLimiter, wanted: Wanted) -> Allowance:
    for item, kind, who in wanted:
        if not counter.hit(item, kind, who):
            raise _limited(counter, item, kind, who)
    item, kind, who = wanted[0]
    return _allowance(counter, item, kind, who)


def _look(counter: SlidingWindowCounterRateLimiter, wanted: Wanted) -> bool:
    for item, kind, who in wanted:
        if not counter.test(item, kind, who):
            raise _limited(counter, item, kind, who)
    return True


def _allowance(
    counter: SlidingWindowCounterRateLimiter, item: RateLimitItem, kind: str, who: str
) -> Allowance:
    reset_at, remaining = counter.get_window_stats(item, kind, who)
    return Allowance(item.amount, remaining, max(1, math.ceil(reset_at - time.time())))


def _limited(
    counter: SlidingWindowCounterRateLimiter, item: RateLimitItem, kind: str, who: str
) -> RateLimited:
    metrics.REFUSED.labels(f"rate_{kind}").inc()
    left = _allowance(counter, item, kind, who)
    whose = {"key": "this key or session", "owner": "this owner", "stranger": "this address"}
    error = RateLimited(
        f"More than {item.amount} requests in {item.get_expiry()} s of {whose[kind]}. "
        f"Come again in {left.reset_s} s."
    )
    error.retry_after_s = left.reset_s
    return error


def _parsed(name: str, text: str) -> list[RateLimitItem]:
    try:
        items = parse_many(text)
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise ConfigurationError(
            f"{name}: {text!r} is no rate limit. It looks like 600/minute, or 20/second;600/minute."
        )
    # The tightest first: it is the one that clients are told.
    return sorted(items, key=lambda item: item.amount / item.get_expiry())

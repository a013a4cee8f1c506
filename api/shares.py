"""Fair shares: what one owner may have open in this process, so that the others are answered.

An owner's work takes turns: at most half of the threads work for one owner, whatever it asks for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, ParamSpec, TypeVar
from uuid import UUID

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from scenebook import metrics
from scenebook.errors import RateLimited
from scenebook.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

Kind = Literal["requests", "uploads", "streams"]
# Requests end soon, and what somebody watches or sends may take minutes.
RETRY_AFTER_S = {"requests": 1, "uploads": 10, "streams": 10}


class Shares:
    """What every owner has open. Used from the event loop of its process only."""

    def __init__(self, settings: Settings) -> None:
        self._most = {
            "requests": settings.owner_max_requests,
            "uploads": settings.owner_max_uploads,
            "streams": settings.owner_max_streams,
        }
        self._threads = max(1, settings.api_threads // 2)
        self._open: Counter[tuple[UUID, Kind]] = Counter()
        self._turns: dict[UUID, asyncio.Semaphore] = {}

    @contextmanager
    def place(self, kind: Kind, *, owner_id: UUID) -> Iterator[asyncio.Semaphore]:
        """Count one of the owner's as open; the turns that its work takes. Raises RateLimited."""
        if self._open[owner_id, kind] >= self._most[kind]:
            metrics.REFUSED.labels(f"owner_{kind}").inc()
            error = RateLimited(
                f"{self._most[kind]} {kind} of yours are open already. Come again when one of "
                "them has ended.",
                code=f"too_many_{kind}",
            )
            error.retry_after_s = RETRY_AFTER_S[kind]
            raise error
        self._open[owner_id, kind] += 1
        try:
            yield self._turns.setdefault(owner_id, asyncio.Semaphore(self._threads))
        finally:
            self._open[owner_id, kind] -= 1
            if not self._open[owner_id, kind]:
                del self._open[owner_id, kind]
            if not any((owner_id, one) in self._open for one in self._most):
                del self._turns[owner_id]

    @asynccontextmanager
    async def turn(self, *, owner_id: UUID) -> AsyncIterator[None]:
        """One request, worked on when it is its owner's turn."""
        with self.place("requests", owner_id=owner_id) as turns:
            async with turns:
                yield


async def in_turn(
    request: Request, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Do a step of an upload in a thread, when it is its owner's turn."""
    async with request.state.turns:
        return await run_in_threadpool(function, *args, **kwargs)


async def pieces_in_turn(turns: asyncio.Semaphore, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What a thread reads piece by piece for somebody who watches."""
    while True:
        async with turns:
            piece = await run_in_threadpool(next, pieces, None)
        if piece is None:
            return
        yield piece

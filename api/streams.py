"""Connections that stay open: bounded for each owner, and ended when the process stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from scenebook.errors import RateLimited

MOST_OF_AN_OWNER = 10


class Streams:
    """The open streams of this process. Used from its event loop only."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()
        self._ending = asyncio.Event()

    @contextmanager
    def place(self, *, owner_id: UUID) -> Iterator[None]:
        """Count one stream as open. Raises RateLimited."""
        if self._open[owner_id] >= MOST_OF_AN_OWNER:
            raise RateLimited(
                f"{MOST_OF_AN_OWNER} streams are open already. Close one, or ask for the video "
                "now and then instead.",
                code="too_many_streams",
            )
        self._open[owner_id] += 1
        try:
            yield
        finally:
            self._open[owner_id] -= 1
            if not self._open[owner_id]:
                del self._open[owner_id]

    async def pause(self, seconds: float) -> bool:
        """Wait; True at once when the process is to stop."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """End every stream at its next pause."""
        self._ending.set()

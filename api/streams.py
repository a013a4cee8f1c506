"""Connections that stay open: they end when the process stops."""

from __future__ import annotations

import asyncio


class Streams:
    """Whether the open streams of this process are to end. Used from its event loop only."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

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

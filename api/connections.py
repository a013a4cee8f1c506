"""Connections: whoever opens one and does not say what for is sent away."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 15.0


class Connection(HttpToolsProtocol):
    """One connection, whose requests must have come as far as their bodies in HEADERS_S."""

    _gives_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has said nothing."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """What is wanted is known; the door bounds the body."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._gives_up = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._gives_up is not None:
            self._gives_up.cancel()
            self._gives_up = None

    def _give_up(self) -> Any:
        if not self.transport.is_closing():
            self.transport.close()

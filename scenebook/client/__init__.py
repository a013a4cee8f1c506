"""The client of the HTTP service: `Scenebook`, and `AsyncScenebook` with the same methods.

It loads neither database nor models.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from scenebook.client.account import KeyCalls, WebhookCalls
from scenebook.client.calls import Calls, Filters, SearchOptions
from scenebook.client.errors import (
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from scenebook.client.transport import Awaiting, Blocking, options
from scenebook.errors import DeadlineExceeded

__all__ = [
    "ApiError", "AsyncScenebook", "Conflict", "DeadlineExceeded", "Expired", "Filters",
    "Forbidden", "InvalidInput", "NotFound", "QuotaExceeded", "RateLimited", "Scenebook",
    "SearchOptions", "TimedOut", "TooLarge", "Unauthorized", "Unavailable", "Unreachable",
]  # fmt: skip

TIMEOUT_S = 60.0


class Webhooks(WebhookCalls, Blocking):
    """`Scenebook.webhooks`."""


class Keys(KeyCalls, Blocking):
    """`Scenebook.keys`."""


class AsyncWebhooks(WebhookCalls, Awaiting):
    """`AsyncScenebook.webhooks`."""


class AsyncKeys(KeyCalls, Awaiting):
    """`AsyncScenebook.keys`."""


class Scenebook(Calls, Blocking):
    """A client that waits for each answer; threads may share it.

    key: an API key or a JWT. timeout: seconds that the service may be silent. transport: another
    one of httpx, for instance for a proxy.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(httpx.Client(**options(url, key, timeout), transport=transport))
        self.webhooks = Webhooks(self._http)
        self.keys = Keys(self._http)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncScenebook(Calls, Awaiting):
    """A client for an event loop: the same methods, awaited, and `async for`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(httpx.AsyncClient(**options(url, key, timeout), transport=transport))
        self.webhooks = AsyncWebhooks(self._http)
        self.keys = AsyncKeys(self._http)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

"""One call to an OpenAI-compatible API: bounded in time, its errors ours, its secrets kept."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenebook.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidInput,
    ScenebookError,
    Unavailable,
)
from scenebook.settings import Settings
from scenebook.subtitles import storable

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 5.0
# How much later than its deadline a call may end, should the event loop itself be held up.
GRACE_S = 1.0
MESSAGE_CHARS = 300
SECRET = re.compile(r"(?i)\b(?:sk|pk|rk)-[\w*.-]{6,}|\bbearer\s+\S+")


class RemoteCalls:
    """Calls through the `openai` client, each of which ends within OPENAI_TIMEOUT_S.

    The client's own timeouts bound single reads, so an answer that drips in never reaches them, and
    its retries come on top. Here a deadline over everything cancels the call instead. That needs
    the asynchronous client; its event loop runs in a daemon thread, so that nothing it is stuck in
    (resolving a name cannot be cancelled) holds up the caller.
    """

    def __init__(self, settings: Settings) -> None:
        self.base_url = settings.openai_base_url or OPENAI_URL
        self.host = urlsplit(self.base_url).hostname or "unknown"
        self.available = bool(settings.openai_api_key or settings.openai_base_url)
        self._key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
        self._timeout_s = settings.openai_timeout_s
        self._max_retries = settings.openai_max_retries
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: AsyncOpenAI | None = None

    def body(self, request: Callable[[AsyncOpenAI], Awaitable[Any]]) -> bytes:
        """The body of the answer to a request made with `with_raw_response`.

        Raises DeadlineExceeded; Unavailable (429, 5xx, no connection); ConfigurationError (key,
        address or model is wrong); InvalidInput (the API refuses this content).
        """
        if not self.available:
            raise ConfigurationError(
                "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of yours."
            )
        loop, client = self._started()
        pending = asyncio.run_coroutine_threadsafe(self._bounded(request, client), loop)
        try:
            return pending.result(self._timeout_s + GRACE_S)
        except concurrent.futures.TimeoutError:
            pending.cancel()
            raise self._deadline() from None

    def close(self) -> None:
        """Drop the connections and end the thread; the next call starts them again."""
        with self._lock:
            loop, client = self._loop, self._client
            self._loop = self._client = None
        if loop is None or client is None:
            return
        closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
        concurrent.futures.wait([closing], timeout=GRACE_S)
        loop.call_soon_threadsafe(loop.stop)

    def _started(self) -> tuple[asyncio.AbstractEventLoop, AsyncOpenAI]:
        # On first use, not at construction: a thread would not survive Celery's fork. And here, not
        # in the loop: loading the package takes a second, which is none of the call's time.
        import openai

        with self._lock:
            if self._loop is None or self._client is None:
                self._client = openai.AsyncOpenAI(
                    api_key=self._key or "none",
                    base_url=self.base_url,
                    timeout=openai.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S),
                    max_retries=self._max_retries,
                )
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run, args=(self._loop,), name="remote-models", daemon=True
                ).start()
            return self._loop, self._client

    async def _bounded(
        self, request: Callable[[AsyncOpenAI], Awaitable[Any]], client: AsyncOpenAI
    ) -> bytes:
        import openai

        try:
            async with asyncio.timeout(self._timeout_s):
                return bytes((await request(client)).content)
        except (TimeoutError, openai.APITimeoutError):
            raise self._deadline() from None
        except openai.OpenAIError as error:
            raise self._translated(error) from None

    def _deadline(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.host} did not answer within {self._timeout_s:g} s.")

    def _translated(self, error: Exception) -> ScenebookError:
        """Our error for one of the client's, naming the host, the status and what to do."""
        import openai

        if not isinstance(error, openai.APIStatusError):
            return Unavailable(f"{self.host} cannot be reached: {self.redacted(str(error))}")
        said = self.redacted(error.message)
        match error.status_code:
            case 401 | 403:
                return ConfigurationError(
                    f"{self.host} refuses the key. Check OPENAI_API_KEY. It says: {said}"
                )
            case 404:
                return ConfigurationError(
                    f"{self.host} knows no such model or address. Check OPENAI_BASE_URL and the "
                    f"model's name. It says: {said}"
                )
            case 429:
                return Unavailable(
                    f"{self.host} is limiting requests, or the quota is used up: {said}",
                    code="rate_limited",
                )
            case 408 | 409:
                return Unavailable(f"{self.host} answered {error.status_code}: {said}")
            case status if status >= 500:
                return Unavailable(f"{self.host} answered {status}: {said}")
        return InvalidInput(
            f"{self.host} does not accept the request ({error.status_code}): {said}",
            code="remote_refused",
        )

    def redacted(self, text: str) -> str:
        """A text of the other side, short, on one line and without anything like a key."""
        known = text.replace(self._key, "***") if self._key else text
        return " ".join(storable(SECRET.sub("***", known)).split())[:MESSAGE_CHARS]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then free its sockets and threads."""
    try:
        loop.run_forever()
    finally:
        loop.close()

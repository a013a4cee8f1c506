"""One call to an OpenAI-compatible API: bounded in time, its errors ours, its secrets kept."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenebook import metrics
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
# How much later than its deadline a call may end, should the event loop itself be held up.
GRACE_S = 1.0
MESSAGE_CHARS = 300
# More of an error than this is not even looked through for secrets.
LOOKED_THROUGH_CHARS = 10_000
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
        self._pending: set[concurrent.futures.Future[bytes]] = set()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: AsyncOpenAI | None = None

    def body(self, service: str, request: Callable[[AsyncOpenAI], Awaitable[Any]]) -> bytes:
        """The body of the answer to a request made with `with_raw_response`; service: for metrics.

        Raises DeadlineExceeded; Unavailable (429, 5xx, no connection); ConfigurationError (key,
        address or model is wrong); InvalidInput (the API refuses this content).
        """
        if not self.available:
            raise ConfigurationError(
                "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of yours."
            )
        outcome = "ok"
        began = time.monotonic()
        try:
            return self._body(request)
        except ScenebookError as error:
            outcome = _outcome(error)
            raise
        finally:
            metrics.UPSTREAM_CALLS.labels(service, outcome).inc()
            metrics.UPSTREAM_SECONDS.labels(service).observe(time.monotonic() - began)

    def _body(self, request: Callable[[AsyncOpenAI], Awaitable[Any]]) -> bytes:
        loop, client = self._started()
        pending = asyncio.run_coroutine_threadsafe(self._bounded(request, client), loop)
        self._pending.add(pending)
        if self._stopped:
            pending.cancel()
        try:
            return pending.result(self._timeout_s + GRACE_S)
        except concurrent.futures.TimeoutError:
            pending.cancel()
            raise self._deadline() from None
        except concurrent.futures.CancelledError:
            raise Unavailable(f"The call to {self.host} was given up.") from None
        finally:
            self._pending.discard(pending)

    def stop(self) -> None:
        """Give up the calls in progress, from any thread; they and later ones raise Unavailable."""
        self._stopped = True
        for pending in list(self._pending):
            pending.cancel()

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
        from scenebook.remote_client import connected

        with self._lock:
            if self._loop is None or self._client is None:
                self._client = connected(
                    self._key,
                    self.base_url,
                    timeout_s=self._timeout_s,
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

        from scenebook.remote_client import AnswerTooLong, never_sent

        try:
            async with asyncio.timeout(self._timeout_s):
                return bytes((await request(client)).content)
        except TimeoutError:
            raise self._deadline() from None
        except openai.APITimeoutError as error:
            if never_sent(error):
                raise Unavailable(f"{self.host} accepted no connection in time.") from None
            raise self._deadline() from None
        except AnswerTooLong:
            raise Unavailable(
                f"{self.host} gave an answer that is too long, or packed in a strange way.",
                code="bad_answer",
            ) from None
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
            case status if status < 400:
                return ConfigurationError(
                    f"{self.host} redirects ({status}), which is not followed. Set "
                    "OPENAI_BASE_URL to where the API is."
                )
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
        known = known[:LOOKED_THROUGH_CHARS]
        return " ".join(storable(SECRET.sub("***", known)).split())[:MESSAGE_CHARS]


def transcription_of(
    client: AsyncOpenAI, model: str, flac: bytes, options: dict[str, Any]
) -> Awaitable[Any]:
    """The request for the words of one piece of audio."""
    return client.audio.transcriptions.with_raw_response.create(
        model=model,
        file=("audio.flac", flac, "audio/flac"),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
        **options,
    )


def _outcome(error: ScenebookError) -> str:
    """How a call that failed is counted, whatever codes there are."""
    match error:
        case DeadlineExceeded():
            return "timeout"
        case Unavailable(code="rate_limited" | "bad_answer" as code):
            return code
        case Unavailable():
            return "unavailable"
        case ConfigurationError():
            return "configuration"
    return "refused"


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then free its sockets and threads."""
    try:
        loop.run_forever()
    finally:
        loop.close()

"""The HTTP client below the `openai` package: answers of bounded size, and no redirects."""

from __future__ import annotations

from typing import Any

import openai

CONNECT_TIMEOUT_S = 5.0
# The largest honest answer is the vectors of one request: 256 of 4000 numbers, 20 digits each.
ANSWER_BYTES = 32 * 1024 * 1024
# What the client itself unpacks, piece by piece; a packed answer counts as it is unpacked.
ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})
OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class AnswerTooLong(openai.OpenAIError):
    """The server's answer does not end; `openai` neither repeats nor wraps its own errors."""


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Reads an answer up to ANSWER_BYTES and follows no redirect.

    A redirect would carry pictures and words to a host that nobody configured.
    """

    def __init__(self) -> None:
        super().__init__(follow_redirects=False, headers={"Accept-Encoding": "identity"})

    async def send(self, request: Any, **options: Any) -> Any:
        """The whole answer; raises AnswerTooLong."""
        response = await super().send(request, **{**options, "stream": True})
        body = bytearray()
        try:
            if response.headers.get("content-encoding", "").lower() not in ENCODINGS:
                raise AnswerTooLong
            async for part in response.aiter_bytes():
                body += part
                if len(body) > ANSWER_BYTES:
                    raise AnswerTooLong
        finally:
            await response.aclose()
        headers = [one for one in response.headers.multi_items() if one[0] not in OF_THE_WIRE]
        return type(response)(
            response.status_code, headers=headers, content=bytes(body), request=request
        )


def connected(key: str, base_url: str, *, timeout_s: float, max_retries: int) -> openai.AsyncOpenAI:
    """A client of an OpenAI-compatible API."""
    return openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=base_url,
        timeout=openai.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        max_retries=max_retries,
        http_client=BoundedClient(),
    )


def never_sent(error: openai.APITimeoutError) -> bool:
    """Whether no connection was made in time, so that nothing can have been paid for."""
    # httpx or httpx2 raised it, as the version of `openai` has it.
    return type(error.__cause__).__name__ in ("ConnectTimeout", "PoolTimeout")

"""Bodies that are read as they arrive: bounded in time, and a client that goes away is noticed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from scenebook.errors import InvalidInput, TooSlow

# A client may be silent this long, and on the whole must not be slower than an old telephone line.
SILENCE_S = 30.0
GRACE_S = 60.0
SLOWEST_BYTES_PER_S = 8 * 1024


class Interrupted(InvalidInput):
    """The client went away before its body was complete."""

    status = 400
    code = "interrupted"


async def arriving(request: Request) -> AsyncIterator[bytes]:
    """The pieces of a body. Raises TooSlow or Interrupted."""
    began, received = time.monotonic(), 0
    stream = request.stream()
    while True:
        allowed_s = GRACE_S + received / SLOWEST_BYTES_PER_S - (time.monotonic() - began)
        try:
            async with asyncio.timeout(max(0.0, min(SILENCE_S, allowed_s))):
                piece = await anext(stream, None)
        except TimeoutError:
            raise TooSlow("The body arrives too slowly. Send it again, or resumably.") from None
        except ClientDisconnect:
            raise Interrupted from None
        if piece is None:
            return
        received += len(piece)
        if piece:
            yield piece


async def whole(request: Request, *, max_bytes: int) -> bytes | None:
    """A small body; None if it is larger than allowed."""
    body = bytearray()
    async for piece in arriving(request):
        body += piece
        if len(body) > max_bytes:
            return None
    return bytes(body)


def content_length(request: Request) -> int | None:
    """How long the client says its body is."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None

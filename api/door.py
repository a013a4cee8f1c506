"""The door of the service: what holds for every request, whatever its route.

It names each request, bounds it, sends away what is too much, answers what nobody expected, and
writes down how it ended.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import cors, problems
from api.bodies import limit_of
from api.cors import METHODS
from api.hosts import Hosts
from scenebook import metrics
from scenebook.settings import Settings
from scenebook.tracing import begin

log = structlog.get_logger(__name__)

LONGEST_URL = 16_384
LONGEST_HEADERS = 32_768
MOST_HEADERS = 100
# Streams cost a connection and little work: so many times as many as requests may be open.
STREAMS_PER_REQUEST = 4
# Events, and sources of videos, also of a kind that is not known.
STREAMED = (b"text/event-stream", b"video/", b"application/octet-stream")
OVERLOAD_RETRY_S = 1
# A body that is not streamed is small; whoever sends it keeps up a rate, after a while to begin.
BODY_S = 30.0
SLOWEST_BODY_BYTES_S = 50_000
CLIENT_LEFT = 499

# Whether we live must be known above all when we are busy.
UNCOUNTED = frozenset({"/livez", "/readyz", "/metrics"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",  # unless the route knows better
}


def install(app: FastAPI, settings: Settings) -> None:
    """Put the door before the application, and before the door what browsers ask."""
    app.add_middleware(Door, settings=settings)
    cors.install(app, settings)


class Busy:
    """How many requests and streams are open in this process. The event loop alone counts."""

    def __init__(self, most_requests: int) -> None:
        self.requests = 0
        self.streams = 0
        self.most_requests = most_requests
        self.most_streams = most_requests * STREAMS_PER_REQUEST


class Door:
    """Pure ASGI: a response that streams is passed on piece by piece."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.hosts = Hosts(settings)
        self.busy = Busy(settings.api_max_concurrency)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self, scope, receive, send)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        exchange.state["headers"] = {"traceresponse": str(begin(_header(scope, b"traceparent")))}
        try:
            await exchange.run()
        finally:
            exchange.leave()
            structlog.contextvars.clear_contextvars()


class Refused(Exception):
    """Ends an endpoint whose request was answered by the door."""


class Exchange:
    """One request and its response."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        self.door = door
        self.scope = scope
        self._receive = receive
        self._send = send
        self.state: dict[str, Any] = scope.setdefault("state", {})
        given = _header(scope, b"x-request-id")
        self.request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        self.state["request_id"] = self.request_id
        self.status: int | None = None
        self._held: str | None = None  # "requests" or "streams"
        self._refusal: problems.Refusal | None = None
        self._body_bytes = 0
        self._body_ended = False
        self._began = time.perf_counter()

    async def run(self) -> None:
        """Send the application's answer, or ours."""
        refusal = self._malformed() or self._no_room()
        if refusal is not None:
            await self._answer(refusal)
            return
        try:
            await self.door.app(self.scope, self.receive, self.send)
        except (Refused, ClientDisconnect):
            if self.status is None and self._refusal is None:
                self.status = CLIENT_LEFT
        except Exception as error:  # whatever broke inside ends here
            log.error("request_broke", exc_info=error)
            if self.status is not None:
                raise  # too late for an answer: the server cuts the connection
            await self._answer(
                problems.Refusal(
                    500, "internal", f"An unexpected error. The log says more of {self.request_id}."
                )
            )
        if self._refusal is not None and self.status is None:
            await self._answer(self._refusal)

    def leave(self) -> None:
        """Give the place back, count, and write the access log."""
        if self._held is not None:
            setattr(self.door.busy, self._held, getattr(self.door.busy, self._held) - 1)
            self._held = None
        took_s = time.perf_counter() - self._began
        route = getattr(self.scope.get("route"), "path", None) or "unmatched"
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        metrics.REQUESTS.labels(route, method, str(self.status or CLIENT_LEFT)).inc()
        if not self.state.get("streams"):
            metrics.REQUEST_SECONDS.labels(route).observe(took_s)
        if self.scope["path"] in UNCOUNTED:
            return
        # Without the query: it may hold words that somebody searches for, or a signed token.
        log.info(
            "request",
            method=method,
            path=self.scope["path"][:300],
            route=route,
            status=self.status or CLIENT_LEFT,
            took_ms=round(took_s * 1000, 1),
            owner_id=self.state.get("owner_id"),
        )

    async def receive(self) -> Message:
        """A piece of the body, as long as the body is not too large."""
        limit = limit_of(self.scope.get("endpoint"), self.door.settings)
        if limit is None:  # an upload: it may take long, and does little
            if not self._hold("streams"):
                raise Refused
            return await self._receive()
        declared = _header(self.scope, b"content-length")
        if declared.isdecimal() and int(declared[:20]) > limit:
            self._too_large(limit)
        if self._body_ended:  # what is waited for now is that the client goes away
            return await self._receive()
        message = await self._arriving()
        if message["type"] == "http.request":
            self._body_bytes += len(message.get("body", b""))
            if self._body_bytes > limit:
                self._too_large(limit)
            self._body_ended = not message.get("more_body", False)
            # Whoever is slow to ask does not keep a place from those who have asked.
            if not self._hold("requests" if self._body_ended else "streams"):
                raise Refused
        return message

    async def _arriving(self) -> Message:
        """The next piece of a small body, which must be here soon as a whole."""
        allowed_s = BODY_S + self._body_bytes / SLOWEST_BODY_BYTES_S
        left_s = allowed_s - (time.perf_counter() - self._began)
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                return await self._receive()
        except TimeoutError:
            metrics.REFUSED.labels("slow_body").inc()
            self._refusal = problems.Refusal(
                408, "too_slow", f"The body did not arrive in {allowed_s:.0f} s. Send it again.",
                {"Connection": "close"},
            )  # fmt: skip
            raise Refused from None

    async def send(self, message: Message) -> None:
        """Pass the response on, with what every response says; or ours instead of it."""
        if self._refusal is not None:
            return  # whatever the endpoint made of our refusal
        if message["type"] == "http.response.start":
            if _is_stream(message) and not self._hold("streams"):
                raise Refused
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        await self._send(message)

    def _headers(self, given: Any) -> list[tuple[bytes, bytes]]:
        headers = [(name.lower(), value) for name, value in given]
        there = {name for name, _ in headers}
        extra = {**SECURITY_HEADERS, **self.state.get("headers", {})}
        for name, value in extra.items():
            if name.lower().encode() not in there:
                headers.append((name.lower().encode(), value.encode("latin-1")))
        headers.append((b"x-request-id", self.request_id.encode()))
        return headers

    def _malformed(self) -> problems.Refusal | None:
        raw_path: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        query: bytes = self.scope.get("query_string", b"")
        headers = self.scope["headers"]
        if len(raw_path) + len(query) > LONGEST_URL:
            return problems.Refusal(414, "url_too_long", f"The URL has over {LONGEST_URL} bytes.")
        if len(headers) > MOST_HEADERS or (
            sum(len(name) + len(value) for name, value in headers) > LONGEST_HEADERS
        ):
            return problems.Refusal(
                431, "headers_too_large", f"The headers have over {LONGEST_HEADERS} bytes."
            )
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        if (refusal := self.door.hosts.refusal(self.scope["path"], hosts)) is not None:
            return refusal
        for part in (raw_path.split(b"?")[0], query):
            if STRAY_PERCENT.search(part) or not _is_utf8(unquote_to_bytes(part)):
                return problems.Refusal(
                    400, "malformed_url", "The URL is not UTF-8 in %XX. Write a lone % as %25."
                )
        return None

    def _no_room(self) -> problems.Refusal | None:
        if self.scope["path"] in UNCOUNTED or self._hold("requests"):
            return None
        return self._refusal

    def _hold(self, kind: str) -> bool:
        """Take a place among the requests or the streams, instead of the one that is held."""
        if self._held == kind:
            return True
        busy = self.door.busy
        if getattr(busy, kind) >= getattr(busy, f"most_{kind}"):
            metrics.REFUSED.labels(f"too_many_{kind}").inc()
            self._refusal = problems.Refusal(
                503, "overloaded", f"Too many {kind} are open. Come again in a moment.",
                {"Retry-After": str(OVERLOAD_RETRY_S)},
            )  # fmt: skip
            return False
        if self._held is not None:
            setattr(busy, self._held, getattr(busy, self._held) - 1)
        setattr(busy, kind, getattr(busy, kind) + 1)
        self._held = kind
        self.state["streams"] = kind == "streams"
        return True

    def _too_large(self, limit: int) -> None:
        metrics.REFUSED.labels("body").inc()
        self._refusal = problems.Refusal(
            413, "too_large", f"The body has more than {limit} bytes.", {"Connection": "close"}
        )
        raise Refused

    async def _answer(self, refusal: problems.Refusal) -> None:
        self._refusal = None
        await refusal.response()(self.scope, self._receive, self.send)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _is_stream(start: Message) -> bool:
    """Whether the response takes as long as its reader does: events, or a video."""
    return any(
        name.lower() == b"content-type" and value.startswith(STREAMED)
        for name, value in start.get("headers", ())
    )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True

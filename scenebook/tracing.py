"""Traces: one W3C trace context leads from a request or command to all that follows from it.

It is stored with jobs and webhooks and is `trace_id` in every line of the log. Only the format is
the standard's (www.w3.org/TR/trace-context): nothing is collected or sent anywhere.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-"
                         r"([0-9a-f]{2})(-.*)?")  # fmt: skip
LONGEST = 512
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, and the step of it that we are."""

    trace_id: str
    step_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.step_id}-{int(self.sampled):02x}"


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> str | None:
    """The `traceparent` of what is being done here, for what follows from it."""
    trace = _current.get()
    return None if trace is None else str(trace)


def parsed(traceparent: str | None) -> Trace | None:
    """What a header or a row says; None for anything that the standard does not allow."""
    if traceparent is None or len(traceparent) > LONGEST:
        return None
    found = TRACEPARENT.fullmatch(traceparent.strip())
    if found is None or (found[1] == "00" and found[5]):
        return None
    return Trace(found[2], found[3], bool(int(found[4], 16) & SAMPLED))


def next_step(traceparent: str | None) -> Trace:
    """A step of our own in the trace that somebody sent, else the first one of a new trace."""
    sent = parsed(traceparent)
    trace_id = secrets.token_hex(16) if sent is None else sent.trace_id
    return Trace(trace_id, secrets.token_hex(8), sent is None or sent.sampled)


def begin(traceparent: str | None = None) -> Trace:
    """Make a next step the current one, until something else becomes it."""
    trace = next_step(traceparent)
    _current.set(trace)
    structlog.contextvars.bind_contextvars(trace_id=trace.trace_id)
    return trace


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Do the block in the trace of a row; in none if the row has none."""
    trace = parsed(traceparent)
    token = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace and trace.trace_id):
            yield
    finally:
        _current.reset(token)

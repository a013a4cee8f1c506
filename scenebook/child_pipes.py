"""Whole messages over a child's pipes, each read and write under a deadline."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import Any

from scenebook import errors
from scenebook.child_side import LENGTH, MAX_MESSAGE_BYTES, unpack
from scenebook.errors import DeadlineExceeded, ScenebookError

READ_BYTES = 1 << 20


class Pipes:
    """The parent's ends of a child's standard input and output.

    Deadlines are times of time.monotonic(). `tick` is called at least every `tick_s` seconds of
    waiting. Every method raises DeadlineExceeded, EOFError when the child has closed its end, and
    ValueError when what it sent is no message.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, tick: Callable[[], None], tick_s: float
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input = process.stdin.fileno()
        self._output = process.stdout.fileno()
        self._tick = tick
        self._tick_s = tick_s
        # A child that stops reading or writes half a message must not block its parent.
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)

    def send(self, packed: bytes, deadline: float) -> None:
        """Write one message that `pack` made."""
        rest = memoryview(packed)
        while rest:
            self._wait(self._input, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise EOFError from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """Read one message."""
        (size,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"{size} bytes announced")
        return unpack(self._read(size, deadline))

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray()
        while len(data) < size:
            self._wait(self._output, select.POLLIN, deadline)
            try:
                part = os.read(self._output, min(size - len(data), READ_BYTES))
            except BlockingIOError:
                continue
            if not part:
                raise EOFError
            data += part
        return data

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(fd, event)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeadlineExceeded
            if poll.poll(1000 * min(left_s, self._tick_s)):
                return
            self._tick()


def reply_of(answer: dict[str, Any]) -> dict[str, Any] | ScenebookError:
    """A message's reply, or the error that it brings. Raises ValueError if it is neither."""
    reply, error = answer.get("reply"), answer.get("error")
    if isinstance(reply, dict):
        return reply
    if not isinstance(error, dict):
        raise ValueError("neither a reply nor an error")
    found = getattr(errors, str(error.get("class")), ScenebookError)
    kind = (
        found if isinstance(found, type) and issubclass(found, ScenebookError) else ScenebookError
    )
    raised = kind(str(error.get("message")), code=str(error.get("code") or kind.code))
    raised.retryable = bool(error.get("retryable", kind.retryable))
    return raised

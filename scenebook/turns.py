"""One thread that works for many: whoever asks it waits his turn, and nobody beyond his bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from scenebook.errors import Unavailable

T = TypeVar("T")

# A request that waits holds one of the API's 16 threads (API_THREADS); the others are for requests
# that need no model.
MOST_WAITING = 8
JOIN_S = 5.0
BUSY = "The model is busy, or still loading. Try again in a moment."


class Turns:
    """Work in a thread of its own, one piece after the other, in no promised order.

    Who has waited long enough gets Unavailable(code="model_busy"), and so does, at once, whoever
    comes while `MOST_WAITING` others wait. Work that has begun goes on without him, so that a model
    that loads slowly is there for those who come later.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._places = threading.Semaphore(MOST_WAITING)
        # Taken by who asks and given back when the work is done: nothing piles up in the pool.
        self._turn = threading.Lock()
        self._begun: Future[Any] | None = None

    def do(self, work: Callable[[], T], *, within_s: float | None) -> T:
        """The result of the work, or what it raises; within_s: of waiting in all, None: any."""
        deadline = None if within_s is None else time.monotonic() + within_s
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            return self._do(work, deadline)
        finally:
            self._places.release()

    def close(self) -> None:
        """Begin nothing more; what has begun is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """Wait, for a while, until what has begun is done; who works for it was ended before."""
        wait([begun for begun in (self._begun,) if begun is not None], timeout=JOIN_S)

    def _do(self, work: Callable[[], T], deadline: float | None) -> T:
        if not self._turn.acquire(timeout=-1 if deadline is None else _left_s(deadline)):
            raise _busy()
        try:
            # In the context of who asks, so that lines of the log have their ids.
            begun = self._thread.submit(copy_context().run, work)
        except RuntimeError:  # it was closed
            self._turn.release()
            raise _busy() from None
        self._begun = begun
        begun.add_done_callback(lambda _: self._turn.release())
        try:
            return begun.result(None if deadline is None else _left_s(deadline))
        except TimeoutError:
            if begun.done():  # the work raised it
                raise
            raise _busy() from None
        except CancelledError:  # it was closed
            raise _busy() from None


def _left_s(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _busy() -> Unavailable:
    return Unavailable(BUSY, code="model_busy")

"""What was found out about callers a moment ago, so that each request need not ask again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

from scenebook.db.api_keys import ApiKey

K = TypeVar("K")
V = TypeVar("V")

# A key that another process revokes, and an owner who is disabled, are refused after this.
FRESH_S = 2.0
MOST = 10_000


class Remembered(Generic[K, V]):
    """Answers that are used for `fresh_s` seconds; errors are never remembered."""

    def __init__(self, *, fresh_s: float = FRESH_S, most: int = MOST) -> None:
        self._fresh_s = fresh_s
        self._most = most
        self._lock = threading.Lock()
        self._answers: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """The answer of a moment ago, else a new one."""
        now = time.monotonic()
        with self._lock:
            known = self._answers.get(key)
        if known is not None and now - known[0] < self._fresh_s:
            return known[1]
        answer = ask()
        with self._lock:
            # Timed by when it was asked: an answer is never older than it says.
            self._answers[key] = (now, answer)
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
        return answer

    def clear(self) -> None:
        """Ask again from now on."""
        with self._lock:
            self._answers.clear()


class Callers:
    """API keys by the hash of their secret, and whether an owner is disabled."""

    def __init__(self) -> None:
        self.keys: Remembered[str, ApiKey] = Remembered()
        self.disabled: Remembered[UUID, bool] = Remembered()

"""A circuit breaker: after some failures in a row, stop trying for a while."""

from __future__ import annotations

import time


class CircuitBreaker:
    """Closed until `failures` failures in a row; open for `reset_s` seconds; then one trial."""

    def __init__(self, *, failures: int, reset_s: float) -> None:
        self._limit = failures
        self._reset_s = reset_s
        self._failures = 0
        self._opened_at = 0.0

    @property
    def tripped(self) -> bool:
        """Whether the last successes are too long ago; the next call, if allowed, is a trial."""
        return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether a call may be made now."""
        return not self.tripped or time.monotonic() >= self._opened_at + self._reset_s

    def succeeded(self) -> None:
        """Close."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; open at the limit, and again after a failed trial."""
        self._failures += 1
        if self.tripped:
            self._opened_at = time.monotonic()

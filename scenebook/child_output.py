"""What children print: lines of the log like any other, and never too many of them."""

from __future__ import annotations

import io
import subprocess
import threading
import time
from typing import Any

import structlog

log = structlog.get_logger(__name__)

LONGEST_LINE = 2000
# A library that complains about every frame must not fill the log.
MOST_LINES = 100
PER_S = 60.0


class ChildOutput:
    """Reads what a child prints; `about` is what is known of the request that it works on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.about: dict[str, Any] = {}

    def listen(self, process: subprocess.Popen[bytes]) -> None:
        """Log what this process prints until it ends, in a thread of its own."""
        threading.Thread(
            target=self._read, args=(process,), name=f"{self._name}-output", daemon=True
        ).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        began, lines = time.monotonic(), 0
        with io.BufferedReader(process.stderr) as printed:  # type: ignore[type-var]
            while line := printed.readline(LONGEST_LINE):
                if time.monotonic() - began > PER_S:
                    began, lines = time.monotonic(), 0
                lines += 1
                text = line.decode(errors="replace").rstrip()
                if lines <= MOST_LINES and text:
                    log.warning("child_said", child=self._name, text=text, **self.about)
                elif lines == MOST_LINES + 1:
                    log.warning("child_says_too_much", child=self._name, **self.about)

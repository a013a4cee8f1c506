"""Private directories for files in transit, removed in every outcome."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenebook.process_ids import started

TEMPORARY = "scenebook-"


def own_prefix() -> str:
    """How the names of this process's directories begin."""
    return f"{TEMPORARY}{os.getpid()}-{started(os.getpid())}-"


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory only this process reads, removed in every outcome but SIGKILL."""
    with tempfile.TemporaryDirectory(prefix=own_prefix()) as name:
        yield Path(name)


def remove_abandoned() -> int:
    """Remove the private directories of processes that are gone; returns how many."""
    removed = 0
    for directory in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*-*-*"):
        pid, start, _ = directory.name.removeprefix(TEMPORARY).split("-", 2)
        if pid.isdigit() and start.isdigit() and started(int(pid)) != start:
            shutil.rmtree(directory, ignore_errors=True)
            removed += 1
    return removed

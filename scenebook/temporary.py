"""Private directories for files in transit, removed in every outcome."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

TEMPORARY = "scenebook-"
# The start of a process is known less precisely than the time of a file.
CLOCK_S = 1.0


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory only this process reads, removed in every outcome but SIGKILL."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{os.getpid()}-") as name:
        yield Path(name)


def remove_abandoned() -> int:
    """Remove the private directories of processes that are gone; returns how many."""
    removed = 0
    for directory in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*-*"):
        pid = directory.name.removeprefix(TEMPORARY).split("-")[0]
        if pid.isdigit() and directory.is_dir() and _is_abandoned(directory, int(pid)):
            shutil.rmtree(directory, ignore_errors=True)
            removed += 1
    return removed


def _is_abandoned(directory: Path, pid: int) -> bool:
    """Whether its process is gone; in a container the next one often has the same id."""
    try:
        began = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return True
    with suppress(OSError):  # somebody else removes it meanwhile
        return directory.stat().st_mtime < began - CLOCK_S
    return False

"""Private directories for files in transit, removed in every outcome."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

TEMPORARY = "scenebook-"


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
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and directory.is_dir():
            shutil.rmtree(directory, ignore_errors=True)
            removed += 1
    return removed

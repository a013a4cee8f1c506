"""Files of this machine that hold sources for a while: room is checked, a full disk says so."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from scenebook.errors import OutOfReach

log = structlog.get_logger(__name__)

# A source may grow by this much in temporary files beside it: audio and pictures.
HEADROOM = 256 * 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def check_room(directory: Path, size: int) -> None:
    """Raise OutOfReach(code="disk_full") unless so many bytes, and some more, fit."""
    free = shutil.disk_usage(directory).free
    if free < size + HEADROOM:
        raise OutOfReach(
            f"The worker's temporary directory has {free >> 20} MB free, and this video needs "
            f"{(size + HEADROOM) >> 20} MB. Free some space or set TMPDIR.",
            code="disk_full",
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full or missing disk of this machine is worth another attempt, and no missing object."""
    try:
        yield
    except OSError as error:
        log.error("local_copy_failed", path=str(path), error=str(error))
        raise OutOfReach(
            "The worker's temporary directory cannot be written. Free some space or set TMPDIR.",
            code="disk_full" if error.errno in FULL else None,
        ) from error

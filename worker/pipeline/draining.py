"""Whether this worker got SIGTERM: one page of memory that the parent shares with its processes."""

from __future__ import annotations

import mmap

_page = mmap.mmap(-1, 1)


def begin() -> None:
    """Tell every process of this worker to claim nothing more, and to hand back what it has."""
    _page[0] = 1


def asked() -> bool:
    """Whether `begin` was called, here or in the process that this one was forked from."""
    return bool(_page[0])

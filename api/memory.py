"""Memory of the process: large blocks go back to the system as soon as they are free."""

from __future__ import annotations

import ctypes

# Of malloc.h. Once set, glibc no longer raises it by itself to the largest block it has seen, after
# which every thread would keep blocks of the size of an upload's parts for itself.
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 512 * 1024


def give_large_blocks_back() -> bool:
    """Whether the C library does so from now on; only glibc does."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))

"""Prints every table of figures, one after another; exit status 1 if one misses its target."""

from __future__ import annotations

import subprocess
import sys

# Each in a process of its own: what one has loaded must not weigh on the next.
TABLES = (
    "segmentation",
    "clip_deadline",
    "inference",
    "preprocessing",
    "search",
    "owners",
    "api",
    "memory",
    "uploads",
    "exposition",
)


def main() -> int:
    """Run the benchmarks by turns."""
    statuses = []
    for name in TABLES:
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        statuses.append(done.returncode)
    return int(any(statuses))


if __name__ == "__main__":
    raise SystemExit(main())

"""What names a process: its id alone is given again, in containers often at once."""

from __future__ import annotations

from pathlib import Path


def started(pid: int) -> str | None:
    """When a process started, in ticks since the machine's start; None if there is none.

    Unlike a time, it does not move when somebody sets the clock.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The 20th field after the name, which is in brackets and may hold anything; see proc(5).
    return stat.rpartition(")")[2].split()[19]

"""Failpoints: named places where a test lets a worker or relay kill itself."""

from __future__ import annotations

import os
import signal

from scenebook.settings import Settings

NAMES = (
    "after_claim",
    "mid_decode",
    "mid_inference",
    "before_commit",
    "after_commit",
    "between_mark_and_publish",
)


def failpoint(name: str, settings: Settings) -> None:
    """Die by SIGKILL here if SCENEBOOK_FAILPOINTS holds a file of this name.

    The process dies only if it could remove the file, so that one file is one death.
    """
    armed = settings.scenebook_failpoints
    if armed is None:
        return
    try:
        (armed / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

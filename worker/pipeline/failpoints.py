"""Failpoints: named places where a test lets a worker kill itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from scenebook.settings import Settings

NAMES = ("after_claim", "mid_decode", "mid_inference", "before_commit", "after_commit")


def failpoint(name: str, settings: Settings) -> None:
    """Die by SIGKILL here if SCENEBOOK_FAILPOINT names this place.

    The value is `name:path`: the process dies only if it could remove the file at path, so that
    one file is one death.
    """
    wanted = settings.scenebook_failpoint
    if wanted is None:
        return
    place, _, armed = wanted.partition(":")
    if place != name:
        return
    try:
        Path(armed).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

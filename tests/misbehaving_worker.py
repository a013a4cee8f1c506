"""The real worker or relay as a process, with faults that files in a directory ask for.

`python -m tests.misbehaving_worker worker|relay DIRECTORY [words of celery]`. The probe of
a video whose title names a fault has that fault; a file named `deaf`, `stuck` or `slow_pictures`
does what its name says, and one named `clock` holds by how many seconds the clock is wrong.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import signals

from scenebook.db import videos
from scenebook.model import Stage
from scenebook.storage import Storage
from worker import door, relay
from worker.app import app
from worker.pipeline import indexing
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

CELERY = ["worker", "--without-gossip", "--without-mingle", "-O", "fair"]


def _memory() -> None:
    raise MemoryError


def _deep() -> None:
    _deep()


def _system_exit() -> None:
    raise SystemExit(3)


def _sys_exit() -> None:
    sys.exit("over")


def _segfault() -> None:
    ctypes.string_at(0)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _loops_with_the_lock() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # no other thread runs, the heartbeat neither


def _loops_without_the_lock() -> None:
    ctypes.CDLL(None).usleep.argtypes = [ctypes.c_uint]
    while True:
        ctypes.CDLL(None).pause()  # deaf to everything that Python could tell it


FAULTS: dict[str, Callable[[], None]] = {
    "memory": _memory,
    "deep": _deep,
    "system_exit": _system_exit,
    "sys_exit": _sys_exit,
    "segfault": _segfault,
    "killed": _killed,
    "with_lock": _loops_with_the_lock,
    "without_lock": _loops_without_the_lock,
}


def _misbehaving(stage: Callable[[Tools, Claim], None]) -> Callable[[Tools, Claim], None]:
    def run(tools: Tools, claim: Claim) -> None:
        job = claim.job
        with tools.db.transaction(owner_id=job.owner_id) as tx:
            title = videos.get(tx, owner_id=job.owner_id, video_id=job.video_id).title
        if fault := FAULTS.get(title.removesuffix(".mp4")):
            fault()
        stage(tools, claim)

    return run


def _take(asked: Path) -> bool:
    """Whether the file was there; it is not any more."""
    try:
        asked.unlink()
    except FileNotFoundError:
        return False
    return True


def main(kind: str, directory: Path, *words: str) -> None:
    """Run until a signal, as the real program does."""
    if (clock := directory / "clock").exists():
        right, off = time.time, float(clock.read_text())
        time.time = lambda: right() + off
    if (directory / "slow_pictures").exists():
        put = Storage.put

        def slowly(self: Storage, *arguments: Any, **more: Any) -> Any:
            time.sleep(1)
            return put(self, *arguments, **more)

        Storage.put = slowly  # type: ignore[method-assign]
    if kind == "relay":
        sweep = relay.Relay.sweep

        def stuck(self: relay.Relay) -> int:
            if _take(directory / "stuck"):
                threading.Event().wait()
            return sweep(self)

        relay.Relay.sweep = stuck  # type: ignore[method-assign]
        relay.main()
        return

    def deaf(**_: Any) -> None:
        if _take(directory / "deaf"):
            threading.Event().wait()  # in the thread that would take messages

    probe = _misbehaving(indexing.STAGES[Stage.PROBE])
    door.STAGES = {**indexing.STAGES, Stage.PROBE: probe}  # type: ignore[attr-defined]
    signals.worker_ready.connect(deaf, weak=False)
    app.worker_main([*CELERY, *words])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])

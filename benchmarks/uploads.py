"""Benchmark: what a large upload takes in memory and time, in one request and resumably.

Run `python -m benchmarks.uploads [MEGABYTES]`; half a minute for the 1000 MB of the table, and 2 GB
of disk. The load comes from this process; the figures are those of the api's parent process.
"""

from __future__ import annotations

import hashlib
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from scenebook import api_keys
from scenebook.db import migrate
from scenebook.db.engine import Database, Role
from scenebook.embedded import EmbeddedServices
from scenebook.embedded.process import start_tethered, stop_process
from scenebook.environment import process_environment

MEGABYTE = 1_000_000
TARGET_MB = 50.0
CHUNK = 50 * MEGABYTE  # of one PATCH
PATIENCE_S = 60.0
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Figures:
    """One upload: MB of resident memory above what the idle process had, and seconds."""

    idle_mb: float
    above_mb: float
    seconds: float


def pieces(megabytes: int, seed: bytes) -> Iterator[bytes]:
    """A file of so many megabytes, in pieces of one; another seed is another file."""
    line = hashlib.sha512(seed).digest()
    for number in range(megabytes):
        block = hashlib.sha512(line + number.to_bytes(8)).digest()
        yield (block * (MEGABYTE // len(block) + 1))[:MEGABYTE]


def in_one_request(client: httpx.Client, megabytes: int) -> None:
    """multipart/form-data."""

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        yield from pieces(megabytes, b"multipart")
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    client.post("/v1/videos", content=body(), headers=headers).raise_for_status()


def resumably(client: httpx.Client, megabytes: int) -> None:
    """tus, in several PATCHes."""
    size = megabytes * MEGABYTE
    begun = client.post("/v1/uploads", headers=TUS | {"Upload-Length": str(size)})
    url, at = begun.raise_for_status().headers["location"], 0
    source = pieces(megabytes, b"tus")
    while at < size:
        length = min(CHUNK, size - at)
        answer = client.patch(
            url,
            content=(next(source) for _ in range(length // MEGABYTE)),
            headers=TUS
            | {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"},
        )
        at = int(answer.raise_for_status().headers["upload-offset"])
    assert answer.headers["scenebook-video-id"]


def watched(process: psutil.Process, work: Callable[[], None]) -> Figures:
    """Do it while looking at the process, 100 times a second."""
    idle = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    return Figures(idle / MEGABYTE, (peak - idle) / MEGABYTE, time.monotonic() - began)


def measure(megabytes: int, home: Path) -> dict[str, Figures]:
    """Both ways, one after the other, in the same process after a small upload of each."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with EmbeddedServices(home) as services:
        migrate.upgrade(services.database_url)
        db = Database(services.database_url, role=Role.API)
        key = api_keys.create_key(db, owner_id=uuid4(), name="benchmark", scopes=["write"]).secret
        db.close()
        variables = {
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "SCENEBOOK_DATA_DIR": str(home),
            "PORT": str(port),
            "LOG_LEVEL": "WARNING",
        }
        process = start_tethered(
            [sys.executable, "-m", "api"], environment=process_environment(variables)
        )
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {key}"},
                timeout=600,
            ) as client:
                _wait_for(client)
                seen = psutil.Process(process.pid)
                for way in (in_one_request, resumably):
                    way(client, 1)
                return {
                    "multipart": watched(seen, lambda: in_one_request(client, megabytes)),
                    "tus": watched(seen, lambda: resumably(client, megabytes)),
                }
        finally:
            stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})


def _wait_for(client: httpx.Client) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.get("/livez").raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


def main() -> int:
    """Print the table; exit status 1 if the target is missed."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(megabytes, Path(folder))
    title = f"An upload of {megabytes} MB, resident memory of the api"
    table = Table("way", "idle MB", "above idle MB", "target", "s", "MB/s", title=title)
    for way, one in figures.items():
        table.add_row(
            way,
            f"{one.idle_mb:.0f}",
            f"{one.above_mb:.1f}",
            f"<= {TARGET_MB:.0f}",
            f"{one.seconds:.1f}",
            f"{megabytes / one.seconds:.0f}",
        )
    Console().print(table)
    return int(any(one.above_mb > TARGET_MB for one in figures.values()))


if __name__ == "__main__":
    raise SystemExit(main())

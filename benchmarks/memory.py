"""Resident memory of the worker's processes while a 1080p video is indexed, against its targets.

python -m benchmarks.memory [FILE]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.segmentation import make_clip
from scenebook.cli.supervisor import Supervisor
from scenebook.db import migrate
from scenebook.db.engine import Database, Role
from scenebook.embedded import EmbeddedServices
from scenebook.model import SETTLED
from scenebook.settings import load
from scenebook.storage import Storage
from scenebook.videos import add_video, get_video, owner_from

TARGETS_MB = {"worker parent": 200, "decoding child": 250}
PATIENCE_S = 300
# No package of these may be mapped into a parent: models and decoders live in children.
HEAVY = ("/torch/", "/av/", "/cv2/", "/onnxruntime/")


def kind_of(process: psutil.Process, worker: int | None) -> str:
    """What a process below the supervisor is, by its command line and its parent."""
    line = " ".join(process.cmdline())
    if "worker.media.child" in line:
        return "decoding child"
    if "scenebook.encoders.child" in line:
        return "inference child"
    if "worker.relay" in line:
        return "relay"
    return "worker parent" if process.pid == worker else "worker pool process"


def heavy_maps(pid: int) -> list[str]:
    """Heavy libraries that a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name.strip("/") for name in HEAVY if name in maps]


def measure(path: Path, home: Path) -> tuple[dict[str, float], list[str]]:
    """Peak MiB by kind of process, and what heavy libraries the parent has loaded."""
    peaks: dict[str, float] = defaultdict(float)
    with EmbeddedServices(home) as services:
        migrate.upgrade(services.database_url)
        settings = load(
            {
                "DATABASE_URL": services.database_url,
                "REDIS_URL": services.redis_url,
                "SCENEBOOK_DATA_DIR": str(home),
                "TRANSCRIPTION_PROVIDER": "off",
            }
        )
        db = Database(services.database_url, role=Role.API)
        owner_id = owner_from("benchmark")
        with Supervisor(settings, log_dir=home / "log") as supervisor:
            video = add_video(db, Storage(settings.storage), owner_id=owner_id, path=path).video
            deadline = time.monotonic() + PATIENCE_S
            worker = supervisor.kept[0].pid
            while get_video(db, owner_id=owner_id, video_id=video.id).status not in SETTLED:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the video was not indexed within {PATIENCE_S} s")
                supervisor.check()
                for process in psutil.Process().children(recursive=True):
                    try:
                        kind = kind_of(process, worker)
                        peaks[kind] = max(peaks[kind], process.memory_info().rss / 2**20)
                    except (psutil.NoSuchProcess, psutil.ZombieProcess):
                        continue
                time.sleep(0.02)
            loaded = heavy_maps(worker) if worker is not None else []
        db.close()
    return peaks, loaded


def main() -> int:
    """Print the table; exit status 1 if a target is missed."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "1080p.mp4"
        if len(sys.argv) < 2:
            make_clip(path)
        peaks, loaded = measure(path, Path(folder) / "home")
    table = Table("process", "peak MiB", "target", title=f"Memory while indexing {path.name}")
    missed = bool(loaded)
    for kind in ("worker parent", "worker pool process", "decoding child", "inference child"):
        target = TARGETS_MB.get(kind)
        over = target is not None and peaks[kind] >= target
        missed = missed or over
        table.add_row(kind, f"{peaks[kind]:.0f}", f"< {target}" if target else "")
    console.print(table)
    console.print(f"heavy libraries in the worker parent: {', '.join(loaded) or 'none'}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())

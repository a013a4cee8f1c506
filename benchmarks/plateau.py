"""Whether memory stays level: resident memory of the worker and its children over 500 scenes.

    python -m benchmarks.plateau [--scenes 500]

Indexes videos of 50 scenes each, with words in every scene, through the real stages: decoding,
CLIP and text vectors by the models that are shipped. Prints resident MiB after each video and the
slope after a warm-up, in MiB a scene; exit status 1 if one is above the target.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from scenebook.db import migrate
from scenebook.embedded import EmbeddedServices
from scenebook.model import VideoStatus
from scenebook.settings import load
from scenebook.videos import owner_from
from tests import clips
from tests.pipelines import Pipeline, a_pipeline

TARGET_MB = 0.1
SCENES_A_VIDEO = 50
WARM_UP_VIDEOS = 2
FPS = 10


def make_video(folder: Path, number: int) -> tuple[Path, Path]:
    """Still scenes of a second each that no other video has, and what is said in them."""
    seeds = range(number * SCENES_A_VIDEO, (number + 1) * SCENES_A_VIDEO)
    pictures = (
        picture for seed in seeds for picture in [clips.texture(seed, width=320, height=240)] * FPS
    )
    video = clips.write(folder / f"{number}.mp4", pictures, fps=FPS)
    words = folder / f"{number}.vtt"
    cues = (
        f"{at // 60:02}:{at % 60:02}.100 --> {at // 60:02}:{at % 60:02}.900\n"
        f"This is sentence {seed}, and it is said in scene {at} of video {number}.\n"
        for at, seed in enumerate(seeds)
    )
    words.write_text("WEBVTT\n\n" + "\n".join(cues))
    return video, words


def resident_mb() -> dict[str, float]:
    """Resident MiB of this process, which is the worker, and of its children by their work."""
    found = {"worker": psutil.Process(os.getpid()).memory_info().rss / 2**20}
    for process in psutil.Process().children(recursive=True):
        line = " ".join(process.cmdline())
        if "worker.media.child" in line:
            found["decoding child"] = process.memory_info().rss / 2**20
        if "scenebook.encoders.child" in line:
            found["inference child"] = process.memory_info().rss / 2**20
    return found


def index_all(pipeline: Pipeline, folder: Path, videos: int) -> dict[str, list[float]]:
    """Index the videos one after the other; resident MiB after each."""
    measured: dict[str, list[float]] = defaultdict(list)
    owner_id = owner_from("benchmark")
    for number in range(videos):
        path, words = make_video(folder, number)
        video = pipeline.index(path, owner_id=owner_id, transcript=words)
        if video.status is not VideoStatus.READY or video.scene_count != SCENES_A_VIDEO:
            raise AssertionError(f"{video.status}, {video.scene_count} scenes: {video.reason}")
        path.unlink()
        for name, used in resident_mb().items():
            measured[name].append(used)
    return measured


def main() -> int:
    """Print the table; exit status 1 if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    videos = max(WARM_UP_VIDEOS + 2, parser.parse_args().scenes // SCENES_A_VIDEO)
    with tempfile.TemporaryDirectory() as name, EmbeddedServices(Path(name) / "home") as services:
        migrate.upgrade(services.database_url)
        settings = load(
            {
                "DATABASE_URL": services.database_url,
                "SCENEBOOK_DATA_DIR": name,
                "TRANSCRIPTION_PROVIDER": "off",
                "CLIP_ENABLED": "true",
                "CLIP_MODEL_NAME": "figures",
                "CLIP_PRETRAINED": "",
                "CLIP_TIMEOUT_S": "20",
            }
        )
        with a_pipeline(settings) as pipeline:
            measured = index_all(pipeline, Path(name), videos)
    table = Table("process", "MiB after each video", "MiB a scene", "target")
    grows = False
    for name, used in measured.items():
        settled = used[WARM_UP_VIDEOS:]
        slope = float(np.polyfit(np.arange(len(settled)) * SCENES_A_VIDEO, settled, 1)[0])
        grows = grows or slope >= TARGET_MB
        shown = " ".join(f"{one:.0f}" for one in used)
        table.add_row(name, shown, f"{slope:.3f}", f"< {TARGET_MB}")
    Console().print(table)
    return int(grows)


if __name__ == "__main__":
    raise SystemExit(main())

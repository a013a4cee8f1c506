"""How much segmentation adds to a bare decode of the same file, and how PySceneDetect compares.

    python -m benchmarks.segmentation [FILE...] [--rounds 5]

Prints a row a file: seconds of a bare PyAV decode of video and sound, of the segmentation stage
(cuts, quality, JPEGs, sound) and of PySceneDetect's AdaptiveDetector alone, as medians of rounds in
which the three take turns; then the peak resident memory of the child that segmented it. Without
files it makes a 1080p clip. scenedetect is in the `benchmarks` extra.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from scenebook.settings import load
from worker.media.segment import segment
from worker.media.types import MediaLimits

LIMITS = MediaLimits.from_settings(load({}))
TARGET_OVER_DECODE = 1.3
TARGET_UNDER_SCENEDETECT = 1.5
TARGET_MEMORY_MB = 250


def bare_decode(path: Path) -> None:
    """Decode the first video and sound stream with PyAV and look at nothing."""
    with av.open(str(path)) as container:
        streams: list[Any] = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.thread_type = "AUTO"
        for _frame in container.decode(streams):
            pass


def segmentation(path: Path) -> None:
    """The whole stage, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        segment(path, Path(folder), LIMITS, lambda fraction: None)


def scenedetect_adaptive(path: Path) -> None:
    """PySceneDetect's AdaptiveDetector over its own PyAV backend with the same threads."""
    from scenedetect import AdaptiveDetector, SceneManager, open_video

    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(path), backend="pyav", threading_mode="AUTO"))


def child_peak_mb(path: Path) -> float:
    """Peak resident memory of a fresh process that segments the file."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.segmentation", "--measure-memory", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def make_clip(path: Path, *, seconds: int = 20) -> None:
    """A 1080p H.264 clip with a moving texture, noise, a cut every four seconds, and a tone."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        sound = file.add_stream("aac", rate=48_000, layout="stereo")
        for index in range(seconds * 30):
            if index % 120 == 0:
                small = rng.integers(0, 255, (30, 60, 3), dtype=np.uint8)
                texture = np.kron(small, np.ones((48, 48, 1), np.uint8))
            shift = 4 * (index % 120)
            picture = texture[shift // 3 : shift // 3 + 1080, shift : shift + 1920]
            noise = rng.integers(0, 8, (1080, 1920, 1), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(np.maximum(picture, 8) - noise, format="rgb24")
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        ticks = np.arange(seconds * 48_000) / 48_000
        tone = (0.2 * np.sin(2 * np.pi * 440 * ticks)).astype(np.float32)
        for first in range(0, len(tone), 1024):
            part = tone[first : first + 1024]
            block = av.AudioFrame.from_ndarray(np.stack((part, part)), "fltp", "stereo")
            block.sample_rate, block.pts = 48_000, first
            file.mux(sound.encode(block))
        file.mux(sound.encode(None))


def timed(work: Callable[[Path], None], path: Path) -> float:
    """Seconds of wall clock."""
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def measure(paths: list[Path], rounds: int) -> Table:
    """The table of ratios."""
    table = Table(title=f"Segmentation, medians of {rounds} rounds")
    for name in ("file", "bare decode s", "segmentation s", "x decode", "scenedetect s"):
        table.add_column(name, justify="left" if name == "file" else "right")
    table.add_column("x faster", justify="right")
    table.add_column("peak MB", justify="right")
    kinds = (bare_decode, segmentation, scenedetect_adaptive)
    for path in paths:
        taken = [[timed(work, path) for work in kinds] for _ in range(rounds)]
        bare, ours, theirs = (statistics.median(column) for column in zip(*taken, strict=True))
        memory = child_peak_mb(path)
        table.add_row(
            path.name,
            f"{bare:.3f}",
            f"{ours:.3f}",
            _marked(ours / bare, ours / bare <= TARGET_OVER_DECODE),
            f"{theirs:.3f}",
            _marked(theirs / ours, theirs / ours >= TARGET_UNDER_SCENEDETECT),
            _marked(memory, memory < TARGET_MEMORY_MB),
        )
    return table


def _marked(value: float, good: bool) -> str:
    return f"[{'green' if good else 'red'}]{value:.2f}[/]"


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure-memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_memory:
        segmentation(arguments.files[0])
        # Not ru_maxrss: that one is inherited from the process that forked.
        status = Path("/proc/self/status").read_text()
        sys.stdout.write(str(int(status.split("VmHWM:")[1].split()[0]) / 1024))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files
        if not files:
            clip = Path(folder) / "generated_1080p.mp4"
            make_clip(clip)
            files = [clip]
        Console(width=110).print(measure(files, arguments.rounds))


if __name__ == "__main__":
    main()

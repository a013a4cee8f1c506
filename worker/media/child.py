"""The process in which untrusted media is decoded: `python -m worker.media.child`."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av.logging

import scenebook
import worker
from scenebook.child_side import serve
from scenebook.confinement import confine
from worker.media.probe import probe
from worker.media.segment import segment
from worker.media.types import MediaLimits, to_message

# The largest file the child may write is the sound, of 16 kHz and 16 bits, if it does not compress.
MAX_BYTES_A_SECOND = 40_000
MAX_OPEN_FILES = 256
# What decoding may allocate at once, as a multiple of what the parent's watchdog lets it use: 80 MB
# more than it uses are allocated for a video of 8K, and a watchdog looks ten times a second.
DATA_SHARE = 2
# Besides the video: what Python may still import, and how many processors there are.
LIBRARIES = (
    *(Path(entry) for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix))),
    *(Path(package.__path__[0]) for package in (scenebook, worker)),
    Path("/sys/devices/system/cpu"),
    Path(os.devnull),
)

Reply = dict[str, Any]


def handle_probe(request: Reply, _progress: Callable[[Reply], None]) -> Reply:
    """{"path", "limits"} -> a MediaInfo."""
    return to_message(probe(Path(request["path"]), MediaLimits(**request["limits"])))


def handle_segment(request: Reply, progress: Callable[[Reply], None]) -> Reply:
    """{"path", "out_dir", "limits"} -> a Segmentation; progress is {"fraction": 0..1}."""
    return to_message(
        segment(
            Path(request["path"]),
            Path(request["out_dir"]),
            MediaLimits(**request["limits"]),
            lambda fraction: progress({"fraction": fraction}),
        )
    )


def give_up(request: Reply) -> None:
    """Keep what this one request needs: its video, the folder for what is found, time, memory."""
    limits = MediaLimits(**request["limits"])
    cores = os.cpu_count() or 1
    resource.setrlimit(resource.RLIMIT_CPU, (round(cores * limits.timeout_s) + 1,) * 2)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (round(MAX_BYTES_A_SECOND * limits.max_duration_s) + 2**24,) * 2
    )
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_SHARE * limits.memory_mb << 20,) * 2)
    out_dir = request.get("out_dir")
    confine(
        read=[Path(request["path"]), *LIBRARIES],
        write=[Path(out_dir)] if out_dir is not None else [],
    )


if __name__ == "__main__":
    # FFmpeg's messages stay off: PyAV's log handler takes the interpreter's lock in the decoder's
    # threads, and closing the decoder then waits for them for ever.
    av.logging.set_level(None)
    serve(
        {"probe": handle_probe, "segment": handle_segment},
        limits={
            resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        },
        confine=give_up,
    )

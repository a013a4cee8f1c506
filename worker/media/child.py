"""The process in which untrusted media is decoded: `python -m worker.media.child`."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av.logging

from scenebook.children import serve
from worker.media.probe import probe
from worker.media.segment import segment
from worker.media.types import MediaLimits, to_message

# The largest file the child may write: six hours of 16 kHz sound that does not compress.
MAX_FILE_BYTES = 1_000_000_000
MAX_OPEN_FILES = 256

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


if __name__ == "__main__":
    # FFmpeg's messages stay off: PyAV's log handler takes the interpreter's lock in the decoder's
    # threads, and closing the decoder then waits for them for ever.
    av.logging.set_level(None)
    serve(
        {"probe": handle_probe, "segment": handle_segment},
        limits={
            resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
            resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        },
    )

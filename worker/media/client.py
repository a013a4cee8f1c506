"""The parent's side of the media child."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from scenebook.children import Child
from worker.media.types import (
    MediaInfo,
    MediaLimits,
    Segmentation,
    info_from_message,
    segmentation_from_message,
)

# Opening a file and decoding one picture; a probe that needs longer would not end.
PROBE_TIMEOUT_S = 30.0


class MediaChild:
    """Decodes in a child process that can be killed; used by one thread at a time."""

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._child = Child(
            "worker.media.child",
            name="media",
            memory_mb=limits.memory_mb,
            # A library's idle threads would not survive the fork that answers a request.
            environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            own_directory=True,
        )

    @property
    def pid(self) -> int | None:
        """The process id while the child lives; each video is read in a process that it forks."""
        return self._child.pid

    def probe(self, source: Path) -> MediaInfo:
        """What the file says of itself. Raises InvalidMedia, ChildDied, DeadlineExceeded."""
        reply = self._child.request(
            {"op": "probe", "path": str(source.resolve()), "limits": asdict(self._limits)},
            timeout_s=min(PROBE_TIMEOUT_S, self._limits.timeout_s),
        )
        return info_from_message(reply)

    def segment(
        self, source: Path, out_dir: Path, *, on_progress: Callable[[float], None]
    ) -> Segmentation:
        """Scenes, keyframes and sound, written to out_dir, which must exist.

        Raises InvalidMedia, ChildDied, DeadlineExceeded.
        """
        reply = self._child.request(
            {
                "op": "segment",
                "path": str(source.resolve()),
                "out_dir": str(out_dir.resolve()),
                "limits": asdict(self._limits),
            },
            timeout_s=self._limits.timeout_s,
            on_progress=lambda progress: on_progress(float(progress["fraction"])),
        )
        return segmentation_from_message(reply)

    def kill(self) -> None:
        """Stop the child now, from any thread; a call in progress raises ChildDied."""
        self._child.kill()

    def close(self) -> None:
        """End the child."""
        self._child.close()

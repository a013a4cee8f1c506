"""The real videos whose damaged copies are indexed; long ones are cut to their first seconds."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

FOLDER = Path(__file__).resolve().parents[1] / "media"
KINDS = frozenset(
    [".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".ts", ".flv", ".wmv", ".3gp"]
)
SECONDS = 3.0
# A file below this is short enough as it is.
SMALL_BYTES = 150_000


@dataclass(frozen=True, slots=True)
class Seed:
    """A file to make damaged copies of."""

    name: str
    content: bytes


def seeds_of(folder: Path) -> list[Seed]:
    """Every video below a folder that has bytes to damage, in the order of the names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    seeds = [
        Seed(path.relative_to(folder).as_posix(), _short(path))
        for path in paths
        if path.is_file() and path.stat().st_size > 16
    ]
    if not seeds:
        raise SystemExit(f"There are no videos below {folder}. Name another folder with --from.")
    return seeds


def _short(path: Path) -> bytes:
    """The first seconds of a long file in its own container, packets as they are."""
    content = path.read_bytes()
    if len(content) <= SMALL_BYTES:
        return content
    out = io.BytesIO()
    try:
        with av.open(str(path)) as source:
            names = source.format.name.split(",")
            kind = "mp4" if "mp4" in names else {"asf": "asf"}.get(names[0], names[0])
            with av.open(out, "w", format=kind) as short:
                _copy(source, short)
    except (av.error.FFmpegError, ValueError):
        return content[:SMALL_BYTES]
    return out.getvalue()


def _copy(source: Any, short: Any) -> None:
    kept = {
        stream.index: short.add_stream_from_template(stream)
        for stream in (*source.streams.video[:1], *source.streams.audio[:1])
    }
    for packet in source.demux([source.streams[index] for index in kept]):
        if packet.dts is None or packet.dts * packet.time_base > SECONDS:
            continue
        packet.stream = kept[packet.stream.index]
        short.mux(packet)

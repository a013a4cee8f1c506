"""What a file says of itself: sizes, codecs, tags; safe to store and to show."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.stream import VideoStream

from scenebook.errors import InvalidMedia
from worker.media.opening import Source, codec_name, open_source
from worker.media.stills import shown_size, upright_of
from worker.media.types import MediaInfo, MediaLimits

MAX_TAGS = 64
MAX_TAG_CHARACTERS = 500
# Beyond this a container gives its tick rate, not the rate of its pictures.
MAX_FPS = 480
# Packets read in search of a first picture; the longest distance between pictures that stand alone.
MAX_PROBE_PACKETS = 600


def probe(path: Path, limits: MediaLimits) -> MediaInfo:
    """Open a file and decode its first picture. Raises InvalidMedia."""
    source = open_source(path, limits)
    with source.container:
        return describe(source, _first_frame(source))


def _first_frame(source: Source) -> av.VideoFrame:
    try:
        for count, packet in enumerate(source.container.demux(source.video)):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                frames = []
                if is_encrypted(packet):
                    raise InvalidMedia(
                        "The video is encrypted (copy-protected) and cannot be read without its "
                        "key.",
                        code="encrypted",
                    ) from None
            if frames:
                return frames[0]
            if count > MAX_PROBE_PACKETS:
                break
    except av.error.FFmpegError:
        pass
    raise InvalidMedia(
        "No picture of the video could be decoded: the file is damaged.", code="undecodable"
    )


def is_encrypted(packet: av.Packet[Any]) -> bool:
    """True if the container marks this packet as encrypted."""
    return packet.has_sidedata("encryption_info")


def pixel_aspect(video: VideoStream) -> Fraction | None:
    """Width of a pixel divided by its height."""
    return video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio or None


def describe(source: Source, frame: av.VideoFrame) -> MediaInfo:
    """The file's description; the first picture knows the true size and rotation."""
    upright = upright_of(frame)
    width, height = shown_size(frame.width, frame.height, pixel_aspect(source.video), upright)
    rate = source.video.average_rate
    fps = float(rate) if rate and 0 < rate <= MAX_FPS else None
    return MediaInfo(
        container=source.container.format.name,
        duration_ms=source.declared_ms,
        fps=round(fps, 3) if fps is not None else None,
        width=width,
        height=height,
        rotation=upright.rotation,
        video_codec=codec_name(source.video) or "unknown",
        audio_codec=codec_name(source.audio) if source.audio is not None else None,
        has_audio=source.audio is not None,
        has_subtitles=source.subtitles is not None,
        metadata=_metadata(source, frame),
    )


def _metadata(source: Source, frame: av.VideoFrame) -> dict[str, Any]:
    container = source.container
    metadata: dict[str, Any] = {
        "format": container.format.long_name,
        "size_bytes": source.size_bytes,
        "pixel_format": frame.format.name,
        "stored_width": frame.width,
        "stored_height": frame.height,
        "tags": _tags(container.metadata),
        "streams": [
            {
                "type": stream.type,
                "codec": codec_name(stream),
                "chosen": stream in (source.video, source.audio, source.subtitles),
                "tags": _tags(stream.metadata),
            }
            for stream in container.streams
        ],
    }
    for key, names in TAG_NAMES.items():
        for name in names:
            if name in metadata["tags"]:
                metadata[key] = metadata["tags"][name]
                break
    safe: dict[str, Any] = json_safe(metadata)
    return safe


TAG_NAMES = {
    "created_at": ("creation_time", "com.apple.quicktime.creationdate", "date", "DATE"),
    "location": ("location", "com.apple.quicktime.location.ISO6709", "location-eng"),
    "title": ("title", "TITLE"),
}


def _tags(tags: dict[str, str]) -> dict[str, str]:
    return {str(key)[:100]: str(value) for key, value in list(tags.items())[:MAX_TAGS]}


def json_safe(value: Any) -> Any:
    """The value as JSON that Postgres takes: no NUL or lone surrogates, no NaN, bounded sizes."""
    if isinstance(value, dict):
        return {json_safe(str(key)): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, str):
        clean = value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
        return clean[:MAX_TAG_CHARACTERS]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**53 else str(value)
    return value

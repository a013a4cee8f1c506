"""What is asked of the media child and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenebook.model import Utterance, UtteranceSource
from scenebook.settings import Settings


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """How much of a file is accepted and what its scenes look like."""

    max_duration_s: float
    max_pixels: int
    max_streams: int
    memory_mb: int
    timeout_s: float
    scene_min_ms: int
    scene_max_ms: int
    scene_max_count: int
    keyframes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> MediaLimits:
        """The limits that the settings ask for."""
        return cls(
            max_duration_s=settings.media_max_duration_s,
            max_pixels=settings.media_max_pixels,
            max_streams=settings.media_max_streams,
            memory_mb=settings.media_child_memory_mb,
            timeout_s=settings.media_child_timeout_s,
            scene_min_ms=settings.scene_min_ms,
            scene_max_ms=settings.scene_max_ms,
            scene_max_count=settings.scene_max_count,
            keyframes=settings.scene_keyframes,
        )


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says of itself.

    width and height are those of the upright picture with square pixels; rotation is how many
    degrees clockwise the stored picture is turned for that. duration_ms is None where the file
    does not know or is clearly wrong. metadata is safe to store as JSON.
    """

    container: str
    duration_ms: int | None
    fps: float | None
    width: int
    height: int
    rotation: int
    video_codec: str
    audio_codec: str | None
    has_audio: bool
    has_subtitles: bool
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FoundKeyframe:
    """A JPEG of one frame, at most 640 pixels on its long side; rank 0 is the best frame.

    perceptual_hash: see worker.media.likeness.
    """

    at_ms: int
    rank: int
    quality: dict[str, float]
    path: Path
    width: int
    height: int
    perceptual_hash: str


@dataclass(frozen=True, slots=True)
class FoundScene:
    """A half-open interval [start_ms, end_ms) and its keyframes in order of rank."""

    start_ms: int
    end_ms: int
    keyframes: tuple[FoundKeyframe, ...]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Everything one decode pass found; 0 ms is the time of the video's first picture.

    audio_path is a 16 kHz mono FLAC that starts at 0 ms. damage says what could not be read.
    """

    info: MediaInfo
    decoded_ms: int
    frames: int
    scenes: tuple[FoundScene, ...]
    audio_path: Path | None
    audio_silent: bool
    subtitles: tuple[Utterance, ...]
    damage: str | None


def to_message(found: MediaInfo | Segmentation) -> dict[str, Any]:
    """The answer as plain maps, lists and strings."""
    message: dict[str, Any] = _plain(asdict(found))
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def info_from_message(message: dict[str, Any]) -> MediaInfo:
    """The inverse of to_message for a probe."""
    return MediaInfo(**message)


def segmentation_from_message(message: dict[str, Any]) -> Segmentation:
    """The inverse of to_message for a segmentation."""
    scenes = tuple(
        FoundScene(
            start_ms=scene["start_ms"],
            end_ms=scene["end_ms"],
            keyframes=tuple(
                FoundKeyframe(**{**keyframe, "path": Path(keyframe["path"])})
                for keyframe in scene["keyframes"]
            ),
        )
        for scene in message["scenes"]
    )
    subtitles = tuple(
        Utterance(**{**line, "source": UtteranceSource(line["source"])})
        for line in message["subtitles"]
    )
    audio = message["audio_path"]
    return Segmentation(
        **{
            **message,
            "info": info_from_message(message["info"]),
            "scenes": scenes,
            "subtitles": subtitles,
            "audio_path": Path(audio) if audio is not None else None,
        }
    )

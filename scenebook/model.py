"""The words of the domain as types: statuses, channels, stages and the records that travel."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Channel(StrEnum):
    """One way of matching a scene by a vector."""

    VISUAL_CLIP = "visual_clip"
    TRANSCRIPT = "transcript"
    VISUAL = "visual"
    SUMMARY = "summary"


class SearchChannel(StrEnum):
    """One way of matching a scene: by a vector of a channel, or by its words."""

    VISUAL_CLIP = "visual_clip"
    TRANSCRIPT = "transcript"
    VISUAL = "visual"
    SUMMARY = "summary"
    LEXICAL = "lexical"


class ChannelStatus(StrEnum):
    """What is known of one channel of one scene; "never tried" and "tried and empty" differ."""

    PENDING = "pending"
    OK = "ok"
    EMPTY = "empty"
    DISABLED = "disabled"
    SKIPPED = "skipped"
    NO_AUDIO = "no_audio"
    SILENT = "silent"
    NO_FRAME = "no_frame"
    UNAVAILABLE = "unavailable"
    LOAD_ERROR = "load_error"
    DECODE_ERROR = "decode_error"
    TIMEOUT = "timeout"
    CIRCUIT_OPEN = "circuit_open"
    ERROR = "error"


# A scene in one of these states has all that it can have in the channel.
COMPLETE = frozenset(
    {
        ChannelStatus.OK,
        ChannelStatus.EMPTY,
        ChannelStatus.DISABLED,
        ChannelStatus.SKIPPED,
        ChannelStatus.NO_AUDIO,
        ChannelStatus.SILENT,
    }
)


class VideoStatus(StrEnum):
    """Where a video stands, as its owner sees it."""

    UPLOADING = "uploading"
    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETING = "deleting"


# No work is outstanding for a video in one of these states.
SETTLED = frozenset(
    {VideoStatus.READY, VideoStatus.PARTIAL, VideoStatus.FAILED, VideoStatus.CANCELLED}
)


class Stage(StrEnum):
    """One stage of the pipeline; also the kind of a job and the name of its Celery task."""

    FETCH = "fetch"
    PROBE = "probe"
    SEGMENT = "segment"
    TRANSCRIBE = "transcribe"
    VISUAL_CLIP = "visual_clip"
    DESCRIBE = "describe"
    EMBED_TEXT = "embed_text"
    FINALIZE = "finalize"
    DELETE = "delete"


class JobState(StrEnum):
    """The states of a job row; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYABLE = "retryable"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class UtteranceSource(StrEnum):
    """Where an utterance's words come from."""

    SUBTITLES = "subtitles"
    WHISPER = "whisper"
    API = "api"


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Vectors compare only if every field here is equal.

    revision names the preprocessing; dimensions is at most 4000.
    """

    channel: Channel
    model: str
    weights: str
    revision: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One timed line of speech; times in milliseconds from the video's first picture."""

    start_ms: int
    end_ms: int
    text: str
    source: UtteranceSource
    speaker: str | None = None


# Within a video's metadata: what its owner wrote. Beside it lies what the file says of itself.
OWN = "own"


@dataclass(frozen=True, slots=True)
class Video:
    """One uploaded file and what is known of it."""

    id: UUID
    owner_id: UUID
    title: str
    status: VideoStatus
    source_key: str
    generation: int
    content_hash: str | None = None
    bytes: int | None = None
    transcript_key: str | None = None
    audio_key: str | None = None
    failed_stage: str | None = None
    reason: str | None = None
    duration_ms: int | None = None
    decoded_ms: int | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    rotation: int | None = None
    has_audio: bool | None = None
    audio_silent: bool | None = None
    damage: str | None = None
    source_url: str | None = None
    scene_count: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    language: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A stored picture standing for a scene; rank 0 is the best frame.

    image_hash is of the stored bytes; perceptual_hash of how it looks (worker/media/likeness.py).
    """

    id: UUID
    scene_id: UUID
    at_ms: int
    rank: int
    quality: dict[str, float]
    image_key: str
    image_hash: str
    perceptual_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelState:
    """Status of one channel of one scene, why, and the channel's own metadata."""

    channel: Channel
    status: ChannelStatus
    error: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """A half-open interval [start_ms, end_ms) of one video and everything known about it."""

    id: UUID
    owner_id: UUID
    video_id: UUID
    generation: int
    scene_index: int
    start_ms: int
    end_ms: int
    transcript: str | None = None
    description: str | None = None
    summary: str | None = None
    tags: tuple[str, ...] = ()
    keyframes: tuple[Keyframe, ...] = ()
    channels: tuple[ChannelState, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A row from one channel: a scene and its cosine similarity to the query, -1 to 1.

    `exact` is False where a big owner's index found the rows, which may then lack a few.
    """

    scene_id: UUID
    video_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    similarity: float
    matched_ms: int | None = None
    exact: bool = True

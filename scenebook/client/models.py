"""What the service answers, as frozen objects with the names of the API.

Statuses, stages and channels are plain texts, and fields that are not known here are ignored, so
that a newer service can say more. They compare with the words of `scenebook.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Anything that the service says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Video(Answer):
    """One video; sizes and times are None until it is probed."""

    id: UUID
    title: str
    status: str
    reason: str | None
    failed_stage: str | None
    duration_ms: int | None
    width: int | None
    height: int | None
    fps: float | None
    has_audio: bool | None
    bytes: int | None
    scene_count: int
    source_url: str | None
    language: str | None
    metadata: Mapping[str, Any]
    keyframe_url: str | None
    stream_url: str
    events_url: str
    created_at: datetime
    updated_at: datetime


class AddedVideo(Video):
    """A video that was sent; `created` is False if the owner had the same bytes before.

    It is None after a resumable upload, which does not tell.
    """

    created: bool | None = None


class StageProgress(Answer):
    """How far one stage is: scenes or other units, done of total."""

    stage: str
    state: str
    done: int
    total: int
    error: str | None


class Progress(Answer):
    """Where a video stands; `progress` is the share of the work that is done, 0 to 1.

    `channels` counts scenes by channel and status in the generation that is worked on, `coverage`
    those that a search can find now.
    """

    status: str
    reason: str | None
    stage: str | None
    progress: float
    eta_s: float | None
    stages: tuple[StageProgress, ...]
    channels: Mapping[str, Mapping[str, int]]
    coverage: Mapping[str, int]


class VideoDetail(Video, Progress):
    """One video, where it stands, and what its file says of itself."""

    container: Mapping[str, Any]


class Keyframe(Answer):
    """A picture that stands for a scene; rank 0 is the best. `url` is signed and expires."""

    id: UUID
    at_ms: int
    rank: int
    quality: Mapping[str, float]
    url: str


class ChannelState(Answer):
    """The state of one channel of one scene, and why."""

    status: str
    error: str | None
    metadata: Mapping[str, Any]


class Scene(Answer):
    """A half-open interval of a video and everything known about it."""

    id: UUID
    video_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    transcript: str | None
    description: str | None
    summary: str | None
    tags: tuple[str, ...]
    keyframes: tuple[Keyframe, ...]
    channels: Mapping[str, ChannelState]


class Utterance(Answer):
    """One timed line of speech."""

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None
    source: str


class Transcript(Answer):
    """What is said in a video, in order."""

    video_id: UUID
    utterances: tuple[Utterance, ...]


class Reason(Answer):
    """Why a scene is a hit: its place in one channel, and how well it matched there.

    `similarity` is a cosine, -1 to 1; in `lexical` it is None and `text_rank` (0 to 1) stands.
    """

    channel: str
    rank: int
    similarity: float | None
    text_rank: float | None
    matched_ms: int | None


class Highlight(Answer):
    """A place in the transcript where a word of the query stands, in characters."""

    start: int
    end: int


class Words(Answer):
    """What is said in a scene that was found."""

    text: str
    highlights: tuple[Highlight, ...]


class Part(Answer):
    """Another scene of the same moment or video that matched too."""

    scene_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    score: float


class Hit(Answer):
    """A scene, a moment or a video as an answer; `score` compares within one answer only."""

    scene_id: UUID
    video_id: UUID
    title: str
    scene_index: int
    start_ms: int
    end_ms: int
    matched_ms: int | None
    score: float
    relevance: float | None
    reasons: tuple[Reason, ...]
    keyframe_url: str | None
    transcript: Words | None
    description: str | None
    summary: str | None
    tags: tuple[str, ...]
    parts: tuple[Part, ...]


class Degraded(Answer):
    """What was asked for and could not take part."""

    channel: str
    reason: str


class Page(Answer):
    """Where a list goes on: `next_token` is None on its last page."""

    next_token: str | None
    expires_in_s: int | None = None


class SearchAnswer(Answer):
    """The hits, best first, and what the answer is worth."""

    data: tuple[Hit, ...]
    page: Page
    applied: Mapping[str, Any]
    degraded: tuple[Degraded, ...]
    search: str
    coverage: Mapping[str, int]
    pool: Mapping[str, int]
    timing_ms: Mapping[str, Any]
    corrections: Mapping[str, tuple[str, ...]]


class Endpoint(Answer):
    """One webhook endpoint; `secret` is known when it was just made or rotated only."""

    id: UUID
    url: str
    events: tuple[str, ...]
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    rotated_at: datetime | None
    created_at: datetime
    secret: str | None = Field(default=None, repr=False)


class Delivery(Answer):
    """One event for one endpoint, and what became of it."""

    id: UUID
    event: str
    state: str
    attempts: int
    next_at: datetime | None
    response_status: int | None
    error: str | None
    payload: Mapping[str, Any]
    created_at: datetime
    finished_at: datetime | None


class Key(Answer):
    """An API key, without its secret."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKey(Answer):
    """A key that was just made: the one sight of its secret."""

    key: Key
    secret: str = Field(repr=False)

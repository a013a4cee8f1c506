"""What the API says of a search: hits with their reasons, and what the whole answer is worth."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.media import keyframe_url
from api.shared import Services
from scenebook.hits import Hit
from scenebook.model import SearchChannel


class ReasonOut(BaseModel):
    """Why a scene is a hit: its place in one channel, and how well it matched there."""

    model_config = ConfigDict(from_attributes=True)

    channel: SearchChannel
    rank: int = Field(description="1-based place among the channel's matches.")
    similarity: float | None = Field(description="Cosine, -1 to 1; null in `lexical`.")
    text_rank: float | None = Field(description="Of the words, 0 to 1; null but in `lexical`.")
    matched_ms: int | None = Field(description="Time of the keyframe or utterance that matched.")


class HighlightOut(BaseModel):
    """A place in the transcript where a word of the query stands, in characters."""

    start: int
    end: int


class TranscriptOut(BaseModel):
    """What is said in the scene."""

    text: str
    highlights: list[HighlightOut]


class PartOut(BaseModel):
    """Another scene of the same moment or video that matched too."""

    model_config = ConfigDict(from_attributes=True)

    scene_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    score: float


class HitOut(BaseModel):
    """A scene, a moment or a video as an answer; of the latter two, the scene is the best one."""

    scene_id: UUID
    video_id: UUID
    title: str
    scene_index: int
    start_ms: int = Field(description="Where the scene, or the moment, begins in its video.")
    end_ms: int
    matched_ms: int | None = Field(description="The instant in it that matched best.")
    score: float = Field(description="Fused; compares within one answer only, and is no cosine.")
    relevance: float | None = Field(description="Of the cross-encoder, where one read the text.")
    reasons: list[ReasonOut]
    keyframe_url: str | None = Field(description="A picture near matched_ms, by a signed URL.")
    transcript: TranscriptOut | None
    description: str | None
    summary: str | None
    tags: list[str]
    parts: list[PartOut]


class DegradedOut(BaseModel):
    """What was asked for and could not take part."""

    channel: str
    reason: str


class PoolOut(BaseModel):
    """What the search looked through."""

    videos: int
    unsettled: int = Field(description="Videos that are still being indexed.")
    scenes: int


class TimingOut(BaseModel):
    """Milliseconds; `channels` by channel, `encode` of the query and `search` in the database."""

    total: float
    channels: dict[str, dict[str, float]]


class SearchPageOut(BaseModel):
    """Where the answer goes on."""

    next_token: str | None
    expires_in_s: int | None = Field(description="After this the token is refused with 410.")


class SearchOut(BaseModel):
    """The hits, and what the answer is worth."""

    data: list[HitOut]
    page: SearchPageOut
    applied: dict[str, Any] = Field(description="The options in force, defaults included.")
    degraded: list[DegradedOut]
    search: Literal["exact", "approximate"]
    coverage: dict[SearchChannel, int] = Field(description="Scenes that each channel can find.")
    pool: PoolOut
    timing_ms: TimingOut
    corrections: dict[str, list[str]] = Field(
        description="Words that no video has, and what was looked for besides."
    )


def hit_out(services: Services, hit: Hit, *, owner_id: UUID) -> HitOut:
    """A hit, with a signed URL of its picture."""
    url = None
    if hit.keyframe_id is not None:
        url = keyframe_url(services, owner_id=owner_id, keyframe_id=hit.keyframe_id)
    transcript = None
    if hit.transcript is not None:
        places = [HighlightOut(start=start, end=end) for start, end in hit.highlights]
        transcript = TranscriptOut(text=hit.transcript, highlights=places)
    return HitOut(
        scene_id=hit.scene_id,
        video_id=hit.video_id,
        title=hit.title,
        scene_index=hit.scene_index,
        start_ms=hit.start_ms,
        end_ms=hit.end_ms,
        matched_ms=hit.matched_ms,
        score=hit.score,
        relevance=hit.relevance,
        reasons=[ReasonOut.model_validate(one) for one in hit.reasons],
        keyframe_url=url,
        transcript=transcript,
        description=hit.description,
        summary=hit.summary,
        tags=list(hit.tags),
        parts=[PartOut.model_validate(one) for one in hit.parts],
    )

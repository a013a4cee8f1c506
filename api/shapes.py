"""What the API says of videos, scenes and progress: the models of its answers.

Keys are only ever added. Times are integer milliseconds from the video's first picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.media import events_url, keyframe_url, stream_url
from api.shared import Services
from scenebook.browsing import best_keyframes
from scenebook.model import (
    Channel,
    ChannelStatus,
    JobState,
    Keyframe,
    Scene,
    Stage,
    Utterance,
    UtteranceSource,
    Video,
    VideoStatus,
)
from scenebook.progress import VideoProgress
from scenebook.videos import container_metadata, own_metadata

# How many scenes have which status, by channel.
ChannelCounts = dict[Channel, dict[ChannelStatus, int]]


class PageOut(BaseModel):
    """Where the list goes on."""

    next_token: str | None = Field(
        description="Send it as `page_token` for the next page; null on the last one."
    )


class VideoOut(BaseModel):
    """One video."""

    id: UUID
    title: str
    status: VideoStatus
    reason: str | None = Field(description="Why it is partial or failed.")
    failed_stage: str | None
    duration_ms: int | None = Field(description="Null until it is probed, as the sizes below.")
    width: int | None
    height: int | None
    fps: float | None
    has_audio: bool | None
    bytes: int | None
    scene_count: int
    source_url: str | None = Field(description="Where it was imported from.")
    language: str | None = Field(description="Text search configuration of its words.")
    metadata: dict[str, Any] = Field(description="What its owner wrote about it.")
    keyframe_url: str | None = Field(
        description="The best picture of how it begins, by a signed URL that expires."
    )
    stream_url: str = Field(description="The source, by a signed URL that expires.")
    events_url: str = Field(description="Progress as server-sent events, by a signed URL.")
    created_at: datetime
    updated_at: datetime


class StageOut(BaseModel):
    """How far one stage is: scenes or other units, done of total."""

    stage: Stage
    state: JobState
    done: int
    total: int
    error: str | None


class CoverageOut(BaseModel):
    """How many of the scenes that readers see have a vector, by channel."""

    scenes: int
    visual_clip: int
    transcript: int
    visual: int
    summary: int


class ProgressOut(BaseModel):
    """Where a video stands."""

    status: VideoStatus
    reason: str | None
    stage: Stage | None = Field(description="What is being done or comes next; null when settled.")
    progress: float = Field(ge=0, le=1, description="Share of the whole work that is done.")
    eta_s: float | None = Field(description="Seconds that are likely left; null if unknown.")
    stages: list[StageOut]
    channels: ChannelCounts = Field(
        description="How many scenes have which status, in the generation worked on last."
    )
    coverage: CoverageOut


class VideoDetailOut(VideoOut, ProgressOut):
    """One video, where it stands, and what its file says of itself."""

    container: dict[str, Any] = Field(description="Format, streams and tags; empty until probed.")


class VideoPage(BaseModel):
    """Videos, newest first."""

    data: list[VideoOut]
    page: PageOut


class KeyframeOut(BaseModel):
    """A picture that stands for a scene; rank 0 is the best."""

    id: UUID
    at_ms: int
    rank: int
    quality: dict[str, float]
    url: str = Field(description="A JPEG, by a signed URL that expires.")


class ChannelOut(BaseModel):
    """The state of one channel of one scene, and why."""

    status: ChannelStatus
    error: str | None
    metadata: dict[str, Any]


class SceneOut(BaseModel):
    """A half-open interval of a video and everything known about it."""

    id: UUID
    video_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    transcript: str | None
    description: str | None
    summary: str | None
    tags: list[str]
    keyframes: list[KeyframeOut]
    channels: dict[Channel, ChannelOut]


class ScenePage(BaseModel):
    """Scenes of one video, in order."""

    data: list[SceneOut]
    page: PageOut


class UtteranceOut(BaseModel):
    """One timed line of speech."""

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None
    source: UtteranceSource


class TranscriptOut(BaseModel):
    """What is said in a video, in order."""

    video_id: UUID
    utterances: list[UtteranceOut]


def video_out(services: Services, video: Video) -> VideoOut:
    """One video as the API shows it."""
    return VideoOut.model_validate(_video_fields(services, video, _pictures(services, [video])))


def videos_out(services: Services, videos: Sequence[Video]) -> list[VideoOut]:
    """Videos of one owner as the API shows them."""
    pictures = _pictures(services, videos)
    return [VideoOut.model_validate(_video_fields(services, one, pictures)) for one in videos]


def video_detail_out(services: Services, video: Video, progress: VideoProgress) -> VideoDetailOut:
    """One video with its progress."""
    return VideoDetailOut.model_validate(
        _video_fields(services, video, _pictures(services, [video]))
        | progress_out(progress).model_dump()
        | {"container": container_metadata(video)}
    )


def _pictures(services: Services, videos: Sequence[Video]) -> Mapping[UUID, UUID]:
    if not videos:
        return {}
    ids = [video.id for video in videos]
    return best_keyframes(services.db, owner_id=videos[0].owner_id, video_ids=ids)


def _video_fields(
    services: Services, video: Video, pictures: Mapping[UUID, UUID]
) -> dict[str, Any]:
    same = {name: getattr(video, name) for name in VideoOut.model_fields if hasattr(video, name)}
    picture = pictures.get(video.id)
    return same | {
        "metadata": own_metadata(video),
        "keyframe_url": picture
        and keyframe_url(services, owner_id=video.owner_id, keyframe_id=picture),
        "stream_url": stream_url(services, owner_id=video.owner_id, video_id=video.id),
        "events_url": events_url(services, owner_id=video.owner_id, video_id=video.id),
    }


def progress_out(progress: VideoProgress) -> ProgressOut:
    """Where a video stands, as the API shows it."""
    return ProgressOut(
        status=progress.status,
        reason=progress.reason,
        stage=progress.stage,
        progress=progress.progress,
        eta_s=progress.eta_s,
        stages=[
            StageOut(
                stage=one.stage, state=one.state, done=one.done, total=one.total, error=one.error
            )
            for one in progress.stages
        ],
        channels={channel: dict(counts) for channel, counts in progress.channel_counts.items()},
        coverage=CoverageOut(
            scenes=progress.scene_count,
            **{channel.value: count for channel, count in progress.coverage.items()},
        ),
    )


def scene_out(services: Services, scene: Scene) -> SceneOut:
    """One scene as the API shows it, its keyframes best first."""
    same = {name: getattr(scene, name) for name in SceneOut.model_fields}
    return SceneOut.model_validate(
        same
        | {
            "tags": list(scene.tags),
            "keyframes": [
                keyframe_out(services, one, owner_id=scene.owner_id) for one in scene.keyframes
            ],
            "channels": {
                state.channel: ChannelOut(
                    status=state.status, error=state.error, metadata=state.metadata
                )
                for state in scene.channels
            },
        }
    )


def keyframe_out(services: Services, keyframe: Keyframe, *, owner_id: UUID) -> KeyframeOut:
    """One picture of a scene."""
    return KeyframeOut(
        id=keyframe.id,
        at_ms=keyframe.at_ms,
        rank=keyframe.rank,
        quality=keyframe.quality,
        url=keyframe_url(services, owner_id=owner_id, keyframe_id=keyframe.id),
    )


def transcript_out(video_id: UUID, lines: Sequence[Utterance]) -> TranscriptOut:
    """The utterances of a video as the API shows them."""
    return TranscriptOut(
        video_id=video_id,
        utterances=[
            UtteranceOut(
                start_ms=one.start_ms,
                end_ms=one.end_ms,
                text=one.text,
                speaker=one.speaker,
                source=one.source,
            )
            for one in lines
        ],
    )

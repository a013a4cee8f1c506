"""Videos of an owner: looked at, changed, indexed again, deleted."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api import problems
from api.caller import Reader, Writer
from api.fields import Text, Title, sound
from api.paging import Limit, PageToken, read_page, sign_page
from api.shapes import (
    PageOut,
    SceneOut,
    ScenePage,
    TranscriptOut,
    VideoDetailOut,
    VideoOut,
    VideoPage,
    scene_out,
    transcript_out,
    video_detail_out,
    video_out,
    videos_out,
)
from api.shared import Services, ServicesOf
from scenebook import browsing, subtitles
from scenebook.model import Channel, Stage, VideoStatus
from scenebook.progress import progress_of
from scenebook.videos import cancel_video, delete_video, edit_video, get_video, retry_video

router = APIRouter(tags=["videos"])

READ = problems.responses(401, 403, 404, 422, 429, 503)
LIST = problems.responses(400, 401, 403, 404, 410, 422, 429, 503)
CHANGE = problems.responses(400, 401, 403, 404, 409, 413, 422, 429, 503)
MOST_METADATA = 8192


def fit(metadata: dict[str, Any]) -> dict[str, Any]:
    """The owner's metadata, if it can be stored. Raises ValueError, which answers 422."""
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
        # Postgres writes numbers out: of 1e308 it makes 309 digits.
        stored = json.loads(text, parse_float=lambda number: format(Decimal(number), "f"))
        text = json.dumps(stored, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ValueError("must be plain JSON, without NaN or Infinity") from None
    # JSON writes NUL as an escape; a backslash that is one itself is written twice.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("must not contain NUL characters")
    if len(sound(text)) > MOST_METADATA:
        raise ValueError(
            f"must have at most {MOST_METADATA} characters as JSON, numbers written out"
        )
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(fit)]


class VideoPatch(BaseModel):
    """What an owner changes; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    metadata: Metadata | None = Field(
        None, description="All of the owner's metadata: it replaces what was there."
    )

    @model_validator(mode="after")
    def something(self) -> VideoPatch:
        """Null is no title, and nothing is no change."""
        if self.title is None and self.metadata is None:
            raise ValueError("name a `title` or `metadata`")
        return self


class Again(BaseModel):
    """What is to be done again: one stage, one channel, or (with neither) all that failed."""

    model_config = ConfigDict(extra="forbid")

    stage: Stage | None = None
    channel: Channel | None = None


class TranscriptFormat(StrEnum):
    """How a transcript is written."""

    JSON = "json"
    VTT = "vtt"
    SRT = "srt"


@router.get("/v1/videos", responses=LIST)
def list_videos(
    caller: Reader,
    services: ServicesOf,
    limit: Limit = 20,
    page_token: PageToken = None,
    status: VideoStatus | None = None,
    title: Annotated[Text | None, Query(description="A part of the title, in any case.")] = None,
) -> VideoPage:
    """Videos, newest first; those that are being deleted only if that status is asked for."""
    owner_id, purpose = caller.owner_id, "videos"
    of = {"status": status, "title": title}
    at = read_page(services, page_token, purpose=purpose, owner_id=owner_id, of=of)
    page = browsing.page_of_videos(
        services.db,
        owner_id=owner_id,
        limit=limit,
        after=None if at is None else (datetime.fromisoformat(at["created_at"]), UUID(at["id"])),
        status=status,
        title=title,
    )
    next_token = None
    if page.more:
        last = page.videos[-1]
        assert last.created_at is not None
        here = {"created_at": last.created_at.isoformat(), "id": str(last.id)}
        next_token = sign_page(services, purpose=purpose, owner_id=owner_id, of=of, at=here)
    return VideoPage(data=videos_out(services, page.videos), page=PageOut(next_token=next_token))


@router.get("/v1/videos/{video_id}", responses=READ)
def read_video(caller: Reader, services: ServicesOf, video_id: UUID) -> VideoDetailOut:
    """One video, where it stands, and how many of its scenes have which channel.

    A deleted video is shown with the status `deleting` until nothing of it is left.
    """
    return _detail(services, owner_id=caller.owner_id, video_id=video_id)


def _detail(services: Services, *, owner_id: UUID, video_id: UUID) -> VideoDetailOut:
    video = get_video(services.db, owner_id=owner_id, video_id=video_id)
    progress = progress_of(services.db, owner_id=owner_id, video_id=video_id)
    return video_detail_out(services, video, progress)


@router.get("/v1/videos/{video_id}/scenes", responses=LIST)
def list_scenes(
    caller: Reader,
    services: ServicesOf,
    video_id: UUID,
    limit: Limit = 20,
    page_token: PageToken = None,
) -> ScenePage:
    """The scenes of a video in order, with keyframes and the state of every channel.

    A page token expires (410) when the video is indexed anew: its scenes are others then.
    """
    owner_id, purpose, of = caller.owner_id, "scenes", {"video": str(video_id)}
    at = read_page(services, page_token, purpose=purpose, owner_id=owner_id, of=of)
    page = browsing.page_of_scenes(
        services.db, owner_id=owner_id, video_id=video_id, limit=limit, **(at or {})
    )
    next_token = None
    if page.more:
        here = {"first": page.scenes[-1].scene_index + 1, "generation": page.generation}
        next_token = sign_page(services, purpose=purpose, owner_id=owner_id, of=of, at=here)
    return ScenePage(
        data=[scene_out(services, one) for one in page.scenes], page=PageOut(next_token=next_token)
    )


@router.get("/v1/scenes/{scene_id}", responses=READ)
def read_scene(caller: Reader, services: ServicesOf, scene_id: UUID) -> SceneOut:
    """One scene with its keyframes and the state of every channel."""
    scene = browsing.get_scene(services.db, owner_id=caller.owner_id, scene_id=scene_id)
    return scene_out(services, scene)


@router.get(
    "/v1/videos/{video_id}/transcript",
    response_model=TranscriptOut,
    responses={200: {"content": {"text/vtt": {}, "application/x-subrip": {}}}, **READ},
)
def read_transcript(
    caller: Reader,
    services: ServicesOf,
    video_id: UUID,
    format: TranscriptFormat = TranscriptFormat.JSON,
) -> TranscriptOut | Response:
    """What is said, with times: as JSON, or as a WebVTT or SubRip file."""
    lines = browsing.transcript_of(services.db, owner_id=caller.owner_id, video_id=video_id)
    if format is TranscriptFormat.VTT:
        return Response(subtitles.to_vtt(lines), media_type="text/vtt")
    if format is TranscriptFormat.SRT:
        return Response(subtitles.to_srt(lines), media_type="application/x-subrip")
    return transcript_out(video_id, lines)


@router.post("/v1/videos/{video_id}/retry", status_code=202, responses=CHANGE)
def retry(
    caller: Writer, services: ServicesOf, video_id: UUID, again: Again | None = None
) -> VideoDetailOut:
    """Do again what failed, or one stage or channel, with all that follows from it.

    Nothing is done, and nothing is wrong, if nothing failed.
    """
    asked = again or Again()
    retry_video(
        services.db,
        owner_id=caller.owner_id,
        video_id=video_id,
        stage=asked.stage,
        channel=asked.channel,
    )
    return _detail(services, owner_id=caller.owner_id, video_id=video_id)


@router.post("/v1/videos/{video_id}/reprocess", status_code=202, responses=CHANGE)
def reprocess(caller: Writer, services: ServicesOf, video_id: UUID) -> VideoDetailOut:
    """Index everything anew; readers see the scenes there are until the new ones are complete."""
    retry_video(services.db, owner_id=caller.owner_id, video_id=video_id, stage=Stage.PROBE)
    return _detail(services, owner_id=caller.owner_id, video_id=video_id)


@router.post("/v1/videos/{video_id}/cancel", responses=CHANGE)
def cancel(caller: Writer, services: ServicesOf, video_id: UUID) -> VideoDetailOut:
    """Stop indexing; what is stored stays, and `retry` goes on."""
    cancel_video(services.db, owner_id=caller.owner_id, video_id=video_id)
    return _detail(services, owner_id=caller.owner_id, video_id=video_id)


@router.patch("/v1/videos/{video_id}", responses=CHANGE)
def change(caller: Writer, services: ServicesOf, video_id: UUID, patch: VideoPatch) -> VideoOut:
    """Change the title, or what the owner wrote about a video."""
    video = edit_video(
        services.db,
        owner_id=caller.owner_id,
        video_id=video_id,
        title=patch.title,
        own=patch.metadata,
    )
    return video_out(services, video)


@router.delete("/v1/videos/{video_id}", status_code=202, responses=CHANGE)
def delete(caller: Writer, services: ServicesOf, video_id: UUID) -> VideoOut:
    """Hide a video at once, and remove its rows and files soon after.

    `GET /v1/videos/{id}` answers 404 when that is done.
    """
    delete_video(services.db, owner_id=caller.owner_id, video_id=video_id)
    video = get_video(services.db, owner_id=caller.owner_id, video_id=video_id)
    return video_out(services, video)

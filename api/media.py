"""Streams of videos and pictures of scenes, by signed URLs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import problems
from api.caller import caller_of, refuse_disabled, with_scope
from api.ranges import NotSatisfiable, names, part_of
from api.shared import Services, ServicesOf
from api.shares import pieces_in_turn
from scenebook import browsing
from scenebook.errors import InvalidInput, NotFound, Unauthorized
from scenebook.model import Video
from scenebook.videos import container_metadata

router = APIRouter(tags=["media"])

SignedToken = Annotated[
    str | None,
    Query(max_length=2000, description="Comes with the signed URL, and stands for its owner."),
]

# Media type and suffix by what probing found; a name that was uploaded says nothing of a file.
CONTAINERS: Mapping[str, tuple[str, str]] = {
    "QuickTime / MOV": ("video/mp4", ".mp4"),
    "Matroska / WebM": ("video/x-matroska", ".mkv"),
    "AVI (Audio Video Interleaved)": ("video/x-msvideo", ".avi"),
    "MPEG-TS (MPEG-2 Transport Stream)": ("video/mp2t", ".ts"),
    "MPEG-PS (MPEG-2 Program Stream)": ("video/mpeg", ".mpg"),
    "raw MPEG video": ("video/mpeg", ".mpg"),
    "FLV (Flash Video)": ("video/x-flv", ".flv"),
    "Ogg": ("video/ogg", ".ogv"),
    "ASF (Advanced / Active Streaming Format)": ("video/x-ms-asf", ".asf"),
}
WEBM = ("video/webm", ".webm")
WEBM_CODECS = frozenset({"vp8", "vp9", "av1", "libdav1d", "opus", "vorbis"})
UNKNOWN = ("application/octet-stream", "")
TYPES = sorted({one for one, _ in CONTAINERS.values()} | {WEBM[0], UNKNOWN[0]})

# What people upload must never run as a page of ours.
HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
PICTURE_CACHE_S = 86_400


def keyframe_url(services: Services, *, owner_id: UUID, keyframe_id: UUID) -> str:
    """A URL of a keyframe's picture that works for a while, for whoever has it."""
    return _signed_url(services, "keyframe", f"/v1/keyframes/{keyframe_id}", owner_id, keyframe_id)


def stream_url(services: Services, *, owner_id: UUID, video_id: UUID) -> str:
    """A URL of a video's source that works for a while, for whoever has it."""
    return _signed_url(services, "stream", f"/v1/videos/{video_id}/stream", owner_id, video_id)


def events_url(services: Services, *, owner_id: UUID, video_id: UUID) -> str:
    """A URL of a video's progress that works for a while, for whoever has it."""
    return _signed_url(services, "events", f"/v1/videos/{video_id}/events", owner_id, video_id)


def _signed_url(services: Services, purpose: str, path: str, owner_id: UUID, item: UUID) -> str:
    """The URL with its token, the same for some minutes: browsers cache pictures by it."""
    ttl_s = services.settings.signed_url_ttl_s
    ttl_s -= int(time.time()) % max(1, ttl_s // 4)
    content = {"o": str(owner_id), "i": str(item)}
    token = services.signer.sign(purpose, content, ttl_s=ttl_s)
    return f"{(services.settings.public_url or '').rstrip('/')}{path}?token={token}"


def viewer(
    request: Request, services: Services, token: str | None, *, purpose: str, item: UUID
) -> UUID:
    """The owner for whom an item may be shown: the token's, else the caller.

    Raises Unauthorized, Forbidden, or Expired.
    """
    if token is None:
        return with_scope(caller_of(request, services), "read").owner_id
    try:
        content = services.signer.read(purpose, token)
    except InvalidInput as error:
        raise Unauthorized(str(error), code="invalid_token") from None
    if content["i"] != str(item):
        raise Unauthorized("This token belongs to another URL.", code="invalid_token")
    owner_id = UUID(content["o"])
    request.state.owner_id = str(owner_id)  # for the log
    refuse_disabled(services, owner_id=owner_id)
    return owner_id


async def _picture_viewer(
    request: Request, services: ServicesOf, keyframe_id: UUID, token: SignedToken = None
) -> AsyncIterator[UUID]:
    """The owner of a picture, whose turn it is until the answer is sent."""
    owner_id = await run_in_threadpool(
        viewer, request, services, token, purpose="keyframe", item=keyframe_id
    )
    async with services.shares.turn(owner_id=owner_id):
        yield owner_id


def streaming(purpose: str) -> Callable[..., AsyncIterator[UUID]]:
    """A dependency: the owner of a video that is sent, or told of, for a while.

    It counts among the owner's streams until the answer is sent.
    """

    async def place(
        request: Request, services: ServicesOf, video_id: UUID, token: SignedToken = None
    ) -> AsyncIterator[UUID]:
        owner_id = await run_in_threadpool(
            viewer, request, services, token, purpose=purpose, item=video_id
        )
        with services.shares.place("streams", owner_id=owner_id) as turns:
            request.state.turns = turns
            yield owner_id

    return place


@router.head("/v1/keyframes/{keyframe_id}", include_in_schema=False)
@router.get(
    "/v1/keyframes/{keyframe_id}",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {"image/jpeg": {}}},
        304: {"description": "The client has it already."},
        **problems.responses(401, 403, 404, 410, 422, 429, 503),
    },
)
def picture(
    request: Request,
    services: ServicesOf,
    owner_id: Annotated[UUID, Depends(_picture_viewer)],
    keyframe_id: UUID,
    token: SignedToken = None,
) -> Response:
    """The JPEG of a keyframe, for whoever has its signed URL, or a key of its owner."""
    keyframe = browsing.get_keyframe(services.db, owner_id=owner_id, keyframe_id=keyframe_id)
    etag = f'"{keyframe.image_hash}"'
    # Without a token in it, the same URL is another person's after the next sign-in.
    cached = "no-cache" if token is None else f"max-age={PICTURE_CACHE_S}, immutable"
    headers = HARMLESS | {"ETag": etag, "Cache-Control": f"private, {cached}"}
    if names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    try:
        content = services.storage.get(keyframe.image_key)
    except FileNotFoundError:
        raise NotFound(
            "The picture is missing in the storage. Reprocess the video.", code="source_missing"
        ) from None
    return Response(content, media_type="image/jpeg", headers=headers)


@router.head("/v1/videos/{video_id}/stream", include_in_schema=False)
@router.get(
    "/v1/videos/{video_id}/stream",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The whole file.", "content": {one: {} for one in TYPES}},
        206: {"description": "The range asked for.", "content": {one: {} for one in TYPES}},
        304: {"description": "The client has it already."},
        **problems.responses(401, 403, 404, 410, 416, 422, 429, 503),
    },
)
def stream(
    request: Request,
    services: ServicesOf,
    owner_id: Annotated[UUID, Depends(streaming("stream"))],
    video_id: UUID,
) -> Response:
    """The source of a video as it was uploaded, or a range of it.

    One range of bytes a request; several at once are answered with the whole file.
    """
    video = browsing.get_seen_video(services.db, owner_id=owner_id, video_id=video_id)
    try:
        size = services.storage.size(video.source_key)
    except FileNotFoundError:
        raise NotFound(
            "The source of this video is missing in the storage. Upload it again.",
            code="source_missing",
        ) from None
    media_type, suffix = container_of(video)
    etag = f'"{video.content_hash or video.id}"'
    headers = HARMLESS | {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(video.title, suffix),
        "ETag": etag,
    }
    if names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range")
    if request.headers.get("if-range", etag).strip() != etag:
        wanted = None
    try:
        part = part_of(wanted, size)
    except NotSatisfiable:
        return problems.problem(
            416,
            "range_not_satisfiable",
            f"The file has {size} bytes. Ask for a range that starts within it.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    status = 200 if part is None else 206
    sent = range(size) if part is None else part
    headers["Content-Length"] = str(len(sent))
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    parts = services.storage.stream(video.source_key, sent.start, sent.stop)
    sending = pieces_in_turn(request.state.turns, parts)
    return StreamingResponse(sending, status, headers=headers, media_type=media_type)


def container_of(video: Video) -> tuple[str, str]:
    """Media type and suffix of a video's source, from what probing found."""
    found: dict[str, Any] = container_metadata(video)
    kind = CONTAINERS.get(found.get("format", ""), UNKNOWN)
    codecs = {one["codec"] for one in found.get("streams", []) if one["chosen"]}
    return WEBM if kind[1] == ".mkv" and codecs <= WEBM_CODECS else kind


def disposition(title: str, suffix: str) -> str:
    """Content-Disposition for a file with this title (RFC 6266), whatever the title holds."""
    name = "".join(one if one.isprintable() and one not in '/\\"' else "_" for one in title)[:150]
    name = name if name.lower().endswith(suffix) else f"{name}{suffix}"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

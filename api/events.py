"""Progress of a video as server-sent events."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from api import problems
from api.media import streaming
from api.shapes import ProgressOut, progress_out
from api.shared import Services, ServicesOf
from api.shares import in_turn
from scenebook.errors import NotFound, Unavailable
from scenebook.model import SETTLED, VideoStatus
from scenebook.progress import progress_of

router = APIRouter(tags=["events"])

POLL_S = 1.0
HEARTBEAT_S = 15.0
RETRY_MS = 2000
# Who may look is asked anew when the client comes again.
LONGEST_S = 3600.0
# EventSource connects again after every end, unless the answer is this one.
NOTHING_NEW = 204
EVENT: Mapping[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["progress", "settled", "gone"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "Where the video stands, as in `GET /v1/videos/{id}`.",
        },
        "id": {"type": "string", "description": "Send it as `Last-Event-ID` to go on."},
        "retry": {"type": "integer", "description": "Milliseconds to wait before coming again."},
    },
}


@router.get(
    "/v1/videos/{video_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `progress` while it changes, then `settled` or `gone`.",
            "content": {"text/event-stream": {"itemSchema": EVENT}},
        },
        NOTHING_NEW: {"description": "It is settled as the client knows already."},
        **problems.responses(401, 403, 404, 410, 422, 429, 503),
    },
)
async def events(
    request: Request,
    services: ServicesOf,
    video_id: UUID,
    owner_id: Annotated[UUID, Depends(streaming("events"))],
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """Progress of a video as it changes, as server-sent events; the first at once.

    `progress` and `settled` carry the same JSON as `GET /v1/videos/{id}`; after `settled`, and
    after `gone` for a video that was deleted meanwhile, the stream ends.
    """
    first = await in_turn(request, _look, services, owner_id, video_id)
    if first is None:
        raise NotFound(f"There is no video {video_id}.")
    if first.status in SETTLED and last_event_id == _digest(first):
        return Response(status_code=NOTHING_NEW)
    return EventSourceResponse(
        _events(request, services, owner_id, video_id, first),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Request,
    services: Services,
    owner_id: UUID,
    video_id: UUID,
    now: ProgressOut | None,
) -> AsyncIterator[bytes]:
    """The stream itself. It holds no connection to the database between two looks."""
    told: str | None = None
    ends_at = time.monotonic() + LONGEST_S
    silent_since = time.monotonic()
    while time.monotonic() < ends_at:
        if now is None:
            yield format_sse_event(event="gone", data_str="{}")
            return
        digest = _digest(now)
        if digest != told:
            told, silent_since = digest, time.monotonic()
            yield _event("progress", now, digest)
        elif time.monotonic() - silent_since > HEARTBEAT_S:
            silent_since = time.monotonic()
            yield format_sse_event(comment="still here")
        if now.status in SETTLED:
            yield _event("settled", now, digest)
            return
        if await services.streams.pause(POLL_S):
            return
        try:
            now = await in_turn(request, _look, services, owner_id, video_id)
        except Unavailable:  # the client comes again, and is told then
            return


def _look(services: Services, owner_id: UUID, video_id: UUID) -> ProgressOut | None:
    """Where the video stands; None if it is being deleted or gone."""
    try:
        progress = progress_of(services.db, owner_id=owner_id, video_id=video_id)
    except NotFound:
        return None
    return None if progress.status is VideoStatus.DELETING else progress_out(progress)


def _event(name: str, progress: ProgressOut, digest: str) -> bytes:
    return format_sse_event(
        event=name, data_str=progress.model_dump_json(), id=digest, retry=RETRY_MS
    )


def _digest(progress: ProgressOut) -> str:
    """What tells two states apart; the time that is likely left always changes."""
    state = progress.model_dump_json(exclude={"eta_s"})
    return hashlib.sha256(state.encode()).hexdigest()[:16]

"""Follows a video until it is settled: by server-sent events, or by looking again and again."""

from __future__ import annotations

import math
import time

from scenebook import errors
from scenebook.client.errors import NotFound, Unavailable
from scenebook.client.models import Progress, VideoDetail
from scenebook.client.steps import (
    Ask,
    Found,
    Id,
    Listen,
    NextLine,
    Pause,
    Reply,
    Steps,
    path,
    sent,
)
from scenebook.model import SETTLED, VideoStatus

POLL_S = 1.0
# The service says something every 15 seconds.
SILENCE_S = 45.0
# With less time left, waiting for its next word could take too long.
LEAST_TO_LISTEN_S = 20.0


def followed(video_id: Id, *, deadline: float | None) -> Steps[VideoDetail]:
    """Finds Progress whenever it changes, and returns the video when it is settled.

    deadline: as time.monotonic says it. Raises DeadlineExceeded, or NotFound if it is deleted.
    """
    listens = True
    seen: Progress | None = None
    while True:
        if listens and _left_s(deadline) > LEAST_TO_LISTEN_S:
            heard = yield from _listened(video_id, deadline, seen)
            # What says nothing, a proxy perhaps holds back.
            listens = heard is not None
            seen = heard or seen
        video = (yield from sent(Ask("GET", path("videos", video_id)))).read(VideoDetail)
        if video.status == VideoStatus.DELETING:
            raise _gone(video_id)
        now = Progress.model_validate(video.model_dump())
        if seen is None or _state(now) != _state(seen):
            seen = now
            yield Found(now)
        if video.status in SETTLED:
            return video
        if _left_s(deadline) <= 0:
            raise errors.DeadlineExceeded(
                f"The video is {video.status} still. Wait longer, or look at its progress."
            )
        yield Pause(min(POLL_S, max(0.0, _left_s(deadline))))


def _listened(
    video_id: Id, deadline: float | None, seen: Progress | None
) -> Steps[Progress | None]:
    """Finds Progress other than `seen` while the service sends it; the last, None if none came."""
    ask = Ask("GET", path("videos", video_id, "events"), headers={"Accept": "text/event-stream"})
    last: Progress | None = None
    try:
        reply: Reply = yield Listen(ask, SILENCE_S)
        if reply.status != 200:
            error = reply.error()
            if isinstance(error, NotFound):
                raise error
            return None
        event, data = "", ""
        while _left_s(deadline) > LEAST_TO_LISTEN_S and (line := (yield NextLine())) is not None:
            name, _, value = line.partition(":")
            if line:
                event = value.strip() if name == "event" else event
                data = value.strip() if name == "data" else data
                continue
            if event == "progress":
                last = Reply(200, {}, data.encode()).read(Progress)
                if seen is None or _state(last) != _state(seen):
                    seen = last
                    yield Found(last)
            elif event:  # settled or gone: the video itself says what it is
                return last
            event = ""
    except Unavailable:
        pass
    return last


def _left_s(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline - time.monotonic()


def _state(progress: Progress) -> Progress:
    """What tells two states apart; the time that is likely left always changes."""
    return progress.model_copy(update={"eta_s": None})


def _gone(video_id: Id) -> NotFound:
    return NotFound(404, "not_found", f"The video {video_id} was deleted.")

"""What a client can ask, once for both kinds: every method says which steps it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from scenebook.client import bodies, uploading, watching
from scenebook.client.bodies import OnProgress
from scenebook.client.models import (
    AddedVideo,
    Progress,
    Scene,
    SearchAnswer,
    Transcript,
    Video,
    VideoDetail,
)
from scenebook.client.steps import (
    KEY,
    Ask,
    Found,
    Id,
    Items,
    Steps,
    listed,
    path,
    sent,
)
from scenebook.client.transport import Operation, Series
from scenebook.client.uploading import WHOLE_BYTES, Sending

PAGE = 100


class Filters(TypedDict, total=False):
    """Which scenes may be found; times are in their video, durations their own."""

    video_ids: Sequence[Id]
    tags: Sequence[str]
    from_ms: int
    to_ms: int
    min_duration_ms: int
    max_duration_ms: int
    has_speech: bool


class SearchOptions(TypedDict, total=False):
    """How to search, as docs/searching.md says. What is left out, the service decides."""

    image: bytes | Path
    scene_id: Id
    text_weight: float
    image_weight: float
    channels: Sequence[str]
    mode: str
    vision_share: float
    weights: Mapping[str, float]
    threshold: float
    filters: Filters
    group_by: str
    max_per_video: int
    rerank: bool
    limit: int


class Calls:
    """Videos, scenes and searches of the owner whose key or token the client has."""

    @Operation
    def upload(
        self,
        file: Path | str,
        *,
        title: str | None = None,
        transcript: Path | str | None = None,
        language: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        progress: OnProgress | None = None,
    ) -> Steps[AddedVideo]:
        """Add a video from a file; the same bytes as before lead to the same video.

        Above 32 MB it is sent in parts, and goes on by itself where a connection broke. With a
        transcript (.vtt or .srt) it is one request. progress: called with bytes sent and bytes of
        the file. The same idempotency_key in another call goes on with that upload.
        """
        sending = Sending.of(
            Path(file),
            title=title,
            language=language,
            metadata=metadata,
            key=idempotency_key,
            progress=progress,
        )
        if transcript is None and sending.size > WHOLE_BYTES:
            return (yield from uploading.resumed(sending))
        return (yield from uploading.whole(sending, Path(transcript) if transcript else None))

    @Operation
    def import_url(
        self,
        url: str,
        *,
        title: str | None = None,
        transcript: str | None = None,
        language: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[AddedVideo]:
        """Add a video that the service fetches from a URL.

        transcript: the text of a .vtt or .srt file.
        """
        body = {
            "url": url,
            "title": title,
            "transcript": transcript,
            "language": language,
            "metadata": metadata,
        }
        key = idempotency_key or uploading.new_key()
        ask = Ask("POST", path("videos"), body=bodies.of_given(body), headers={KEY: key})
        return (yield from sent(ask)).read(AddedVideo)

    @Series
    def videos(
        self, *, status: str | None = None, title: str | None = None, page_size: int = PAGE
    ) -> Items[Video]:
        """Videos, newest first, page by page; `title` is a part of it in any case."""
        params = {"status": status, "title": title, "limit": page_size}
        return listed(Ask("GET", path("videos"), params=params), Video)

    @Operation
    def video(self, video_id: Id) -> Steps[VideoDetail]:
        """One video and where it stands."""
        return (yield from sent(Ask("GET", path("videos", video_id)))).read(VideoDetail)

    @Operation
    def wait(self, video_id: Id, timeout: float | None = None) -> Steps[VideoDetail]:
        """The video once it is settled: ready, partial, failed or cancelled.

        timeout: in seconds. Raises DeadlineExceeded then, and NotFound if it is deleted.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return (yield from watching.followed(video_id, deadline=deadline))

    @Series
    def events(self, video_id: Id) -> Items[Progress]:
        """Where the video stands, whenever that changes, until it is settled."""
        yield from watching.followed(video_id, deadline=None)

    @Series
    def scenes(self, video_id: Id, *, page_size: int = PAGE) -> Items[Scene]:
        """The scenes of a video in order."""
        return listed(
            Ask("GET", path("videos", video_id, "scenes"), params={"limit": page_size}), Scene
        )

    @Operation
    def scene(self, scene_id: Id) -> Steps[Scene]:
        """One scene."""
        return (yield from sent(Ask("GET", path("scenes", scene_id)))).read(Scene)

    @Operation
    def keyframe(self, keyframe_id: Id) -> Steps[bytes]:
        """The picture of a keyframe, a JPEG."""
        return (yield from sent(Ask("GET", path("keyframes", keyframe_id)))).content

    @Operation
    def transcript(self, video_id: Id) -> Steps[Transcript]:
        """What is said in a video."""
        return (yield from sent(Ask("GET", path("videos", video_id, "transcript")))).read(
            Transcript
        )

    @Operation
    def subtitles(self, video_id: Id, format: str = "vtt") -> Steps[str]:
        """What is said in a video, as a file: `vtt` or `srt`."""
        ask = Ask("GET", path("videos", video_id, "transcript"), params={"format": format})
        return (yield from sent(ask)).content.decode()

    @Operation
    def retry(
        self, video_id: Id, *, stage: str | None = None, channel: str | None = None
    ) -> Steps[VideoDetail]:
        """Do again what failed, or one stage or channel with all that follows from it."""
        body = bodies.of_given({"stage": stage, "channel": channel})
        ask = Ask("POST", path("videos", video_id, "retry"), body=body)
        return (yield from sent(ask)).read(VideoDetail)

    @Operation
    def reprocess(self, video_id: Id) -> Steps[VideoDetail]:
        """Index everything anew; searches see the old scenes until then."""
        return (yield from sent(Ask("POST", path("videos", video_id, "reprocess")))).read(
            VideoDetail
        )

    @Operation
    def cancel(self, video_id: Id) -> Steps[VideoDetail]:
        """Stop indexing; what is stored stays."""
        return (yield from sent(Ask("POST", path("videos", video_id, "cancel")))).read(VideoDetail)

    @Operation
    def delete(self, video_id: Id) -> Steps[Video]:
        """Hide a video from searches at once; its rows and files go soon after."""
        return (yield from sent(Ask("DELETE", path("videos", video_id)))).read(Video)

    @Operation
    def update(
        self,
        video_id: Id,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Steps[Video]:
        """Change the title, or all of the owner's metadata."""
        body = bodies.of_given({"title": title, "metadata": metadata})
        ask = Ask("PATCH", path("videos", video_id), body=body, repeatable=True)
        return (yield from sent(ask)).read(Video)

    @Operation
    def search(
        self,
        text: str | None = None,
        *,
        page_token: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> Steps[SearchAnswer]:
        """Scenes that answer a text, a picture or a scene, or a text with one of the two."""
        return (yield from sent(_search(text, page_token, options))).read(SearchAnswer)

    @Series
    def search_pages(
        self, text: str | None = None, **options: Unpack[SearchOptions]
    ) -> Items[SearchAnswer]:
        """The same, page by page; `limit` is the size of a page."""
        token: str | None = None
        while True:
            page = (yield from sent(_search(text, token, options))).read(SearchAnswer)
            yield Found(page)
            token = page.page.next_token
            if token is None:
                return

    @Operation
    def similar(
        self,
        scene_id: Id,
        *,
        channel: str | None = None,
        limit: int | None = None,
        video_id: Id | None = None,
        other_videos_only: bool = False,
        threshold: float | None = None,
    ) -> Steps[SearchAnswer]:
        """The scenes most like one of them, without that one."""
        params = {
            "channel": channel,
            "limit": limit,
            "video_id": video_id,
            "other_videos_only": other_videos_only,
            "threshold": threshold,
        }
        ask = Ask("GET", path("scenes", scene_id, "similar"), params=params)
        return (yield from sent(ask)).read(SearchAnswer)

    @Operation
    def rpc(self, function: str, /, **arguments: Any) -> Steps[Any]:
        """The rows of a public SQL function; docs/sql.md has their names and arguments."""
        where = "/rest" + path("rpc", function)
        return (yield from sent(Ask("POST", where, body=bodies.of_json(arguments)))).json()


def _search(text: str | None, page_token: str | None, options: SearchOptions) -> Ask:
    asked: dict[str, Any] = {"text": text, "page_token": page_token, **options}
    image = asked.pop("image", None)
    if image is None:
        return Ask("POST", path("search"), body=bodies.of_given(asked), repeatable=True)
    picture = image.read_bytes() if isinstance(image, Path) else image
    said = {name: one for name, one in asked.items() if one is not None}
    form = bodies.form({"options": bodies.json_text(said)}, {"file": ("picture", picture)})
    return Ask("POST", path("search", "image"), body=form, repeatable=True)

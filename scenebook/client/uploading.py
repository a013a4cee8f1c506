"""Sends files: small ones in one request, large ones in parts that go on where they broke off."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from scenebook.client.bodies import Body, FilePart, OnProgress, form, json_text
from scenebook.client.errors import ApiError
from scenebook.client.models import AddedVideo
from scenebook.client.steps import KEY, Ask, Pause, Reply, Steps, once, path, pause_s, sent

# Beyond this a broken connection should not cost the whole file.
WHOLE_BYTES = 32 * 1024 * 1024
# Many proxies refuse bodies of 100 MB and more.
PART_BYTES = 32 * 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
# Besides what every request may be repeated for: the body came too slowly, broke off, or another
# request of ours is still being noticed as broken.
RESUMED = frozenset({400, 408, 409, 500, 502, 504})


@dataclass(frozen=True, slots=True)
class Sending:
    """A file and what is said of it; `fields` are texts."""

    file: Path
    size: int
    fields: Mapping[str, str]
    key: str
    progress: OnProgress | None

    @classmethod
    def of(
        cls,
        file: Path,
        *,
        title: str | None,
        language: str | None,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        progress: OnProgress | None,
    ) -> Sending:
        """A file that is about to be sent. Raises OSError if it cannot be."""
        said = {
            "title": title,
            "language": language,
            "metadata": None if metadata is None else json_text(metadata),
        }
        fields = {name: text for name, text in said.items() if text is not None}
        return cls(file, file.stat().st_size, fields, key or new_key(), progress)

    def part(self, offset: int, size: int) -> FilePart:
        """Some bytes of the file, which tell how far they are."""
        return FilePart(self.file, offset, size, self._tell)

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.size)


def new_key() -> str:
    """An Idempotency-Key that nobody else has."""
    return uuid4().hex


def whole(sending: Sending, transcript: Path | None) -> Steps[AddedVideo]:
    """The file, and its transcript, in one form."""
    files: dict[str, tuple[str, bytes | FilePart]] = {}
    if transcript is not None:
        files["transcript"] = (transcript.name, transcript.read_bytes())
    files["file"] = (sending.file.name, sending.part(0, sending.size))
    body = form(sending.fields, files)
    reply = yield from sent(Ask("POST", path("videos"), body=body, headers={KEY: sending.key}))
    return reply.read(AddedVideo)


def resumed(sending: Sending) -> Steps[AddedVideo]:
    """The file in parts, by the tus protocol; each break is mended until none helps any more."""
    said = {"filename": sending.file.name, **sending.fields}
    pairs = [f"{name} {_base64(text)}" for name, text in said.items()]
    headers = {
        **TUS,
        KEY: sending.key,
        "Upload-Length": str(sending.size),
        "Upload-Metadata": ",".join(pairs),
    }
    begun = yield from sent(Ask("POST", path("uploads"), headers=headers))
    # Only the id: a proxy may have the service below a path of its own.
    where = path("uploads", begun.headers["location"].rpartition("/")[2])
    if begun.headers.get("idempotency-replayed"):
        begun = yield from _standing(where)
    video_id = yield from _parts(sending, where, begun)
    reply = yield from sent(Ask("GET", path("videos", video_id)))
    return reply.read(AddedVideo)


def _parts(sending: Sending, where: str, now: Reply) -> Steps[UUID]:
    """Send what is missing, from where the upload stands; the video that came of it."""
    fruitless = 0
    while not (video_id := now.headers.get("scenebook-video-id")):
        offset = int(now.headers["upload-offset"])
        size = min(PART_BYTES, sending.size - offset)
        headers = {**TUS, "Upload-Offset": str(offset)}
        body = Body(BYTES, [sending.part(offset, size)])
        try:
            now = yield from once(Ask("PATCH", where, body=body, headers=headers))
            fruitless = 0
        except ApiError as error:
            wait_s = pause_s(error, fruitless, passing=RESUMED)
            if wait_s is None:
                raise
            yield Pause(wait_s)
            now = yield from _standing(where)
            arrived = int(now.headers["upload-offset"]) > offset
            fruitless = 0 if arrived else fruitless + 1
    return UUID(video_id)


def _standing(where: str) -> Steps[Reply]:
    return (yield from sent(Ask("HEAD", where, headers=TUS)))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()

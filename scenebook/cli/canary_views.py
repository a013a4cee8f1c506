"""What a canary looks at beyond the commands: files, other owners, and why nobody works.

`Here` asks the database and the storage, `There` a service's signed URLs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID, uuid4

import httpx

from scenebook import videos
from scenebook.cli.alive import why_idle
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.place import Place
from scenebook.cli.remote import RemotePlace
from scenebook.cli.workplace import Workplace
from scenebook.errors import NotFound, ScenebookError
from scenebook.storage import video_prefix

TIMEOUT_S = 20.0
REFUSED = frozenset({401, 403, 404})
GONE = frozenset({404, 410})


class Broken(ScenebookError):
    """A step did not end as it must; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def _stored(read: Callable[[], bytes], what: str) -> bytes:
    try:
        return read()
    except FileNotFoundError:
        remedy = "Do the workers have the same STORAGE_URL, and a disk that is shared with this?"
        raise Broken(f"{what} is not in the storage", remedy) from None


class View(Protocol):
    """One owner's deployment, from where the command runs."""

    @property
    def by(self) -> str:
        """How files are reached, to be said after them."""

    def picture(self, key: str) -> bytes:
        """A keyframe's picture, by where it says that it lies."""

    def first_bytes(self, video_id: UUID, count: int) -> bytes:
        """The source begins with these."""

    def keep_out(self, video_id: UUID) -> Check:
        """Whether somebody else sees nothing of it. Raises Broken where they do."""

    def remains(self, video_id: UUID) -> str:
        """What is still there of a video that was removed; empty if nothing is."""

    def why_idle(self) -> str:
        """What is to be done when no job is taken."""


class Here:
    """The database and storage of the settings."""

    by = " from storage"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def picture(self, key: str) -> bytes:
        """A keyframe's picture."""
        return _stored(lambda: self._place.storage.get(key), "the picture")

    def first_bytes(self, video_id: UUID, count: int) -> bytes:
        """The source begins with these."""
        key = self._place.video(video_id).source_key
        return _stored(lambda: self._place.storage.get_range(key, 0, count), "the source")

    def keep_out(self, video_id: UUID) -> Check:
        """Ask as an owner who has nothing and needs no row."""
        stranger = uuid4()
        database = self._place.database
        try:
            videos.get_video(database, owner_id=stranger, video_id=video_id)
        except NotFound:
            if not videos.list_videos(database, owner_id=stranger):
                return Check("", Verdict.OK, "another owner sees nothing of it")
        raise Broken("another owner sees it", "Stop the deployment: row security does not hold.")

    def remains(self, video_id: UUID) -> str:
        """Objects under the video's prefix."""
        prefix = video_prefix(owner_id=self._place.owner_id, video_id=video_id)
        left = self._place.storage.list_prefix(prefix)
        return f"{len(left)} files are left" if left else ""

    def why_idle(self) -> str:
        """What the table of processes says."""
        url = self._place.settings.database_url
        assert url is not None
        return why_idle(url, self._place.settings.redis_url)


class There:
    """A service; its URLs are asked as somebody who has nothing but them."""

    by = " by signed URLs"

    def __init__(self, place: RemotePlace) -> None:
        self._place = place
        self._signed: list[str] = []
        self._has_key = place.settings.scenebook_api_key is not None

    def picture(self, key: str) -> bytes:
        """A keyframe's picture, by its signed URL."""
        self._signed.append(key)
        return self._get(key, expected=200).content

    def first_bytes(self, video_id: UUID, count: int) -> bytes:
        """A Range of the stream, by its signed URL."""
        url = self._place.client.video(video_id).stream_url
        self._signed.append(url)
        return self._get(url, expected=206, headers={"Range": f"bytes=0-{count - 1}"}).content

    def keep_out(self, video_id: UUID) -> Check:
        """Ask without a key, and with signed URLs that were changed."""
        if not self._has_key:
            return Check("", Verdict.OFF, "SCENEBOOK_API_KEY is not set: nobody is asked for a key")
        unsigned = [url.partition("?")[0] for url in self._signed]
        changed = [url[:-1] + ("A" if url[-1] != "A" else "B") for url in self._signed]
        for url in (f"/v1/videos/{video_id}", *unsigned, *changed):
            if (status := self._ask(url).status_code) not in REFUSED:
                raise Broken(
                    f"without a key {url.partition('?')[0]} answers {status}",
                    "Set AUTH_MODE=token, and ask the service itself, not a cache before it.",
                )
        return Check("", Verdict.OK, "without a key or with a changed URL nothing is shown")

    def remains(self, video_id: UUID) -> str:
        """Signed URLs that still answer."""
        left = [url for url in self._signed if self._ask(url).status_code not in GONE]
        return f"{len(left)} signed URLs still answer" if left else ""

    def why_idle(self) -> str:
        """What the service says of itself; who works for it is not known from outside."""
        try:
            said = "; ".join(self._ask("/readyz").json()["degraded"])
        except (Broken, ValueError, LookupError, TypeError):
            said = "nothing that can be read"
        return (f"The service says: {said}. " if said else "") + (
            "Is a relay running? Is a worker running? Where they run, `scenebook doctor` and "
            "`scenebook queue` tell which."
        )

    def _get(
        self, url: str, *, expected: int, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        answer = self._ask(url, headers=headers)
        if answer.status_code != expected:
            raise Broken(
                f"{url.partition('?')[0]} answers {answer.status_code} and not {expected}",
                "Are PUBLIC_URL and SCENEBOOK_SECRET_KEY the same in every copy of the API?",
            )
        return answer

    def _ask(self, url: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
        base = (self._place.settings.scenebook_url or "").strip().rstrip("/")
        try:
            return httpx.get(
                base + url if url.startswith("/") else url, headers=headers, timeout=TIMEOUT_S
            )
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise Broken(
                f"{url.partition('?')[0]} cannot be reached ({type(error).__name__})",
                "Check SCENEBOOK_URL, and PUBLIC_URL of the service.",
            ) from None


def of(place: Place) -> View:
    """The view from a place."""
    if isinstance(place, Workplace):
        return Here(place)
    assert isinstance(place, RemotePlace)
    return There(place)

"""Compares what lies in storage with what the rows say, owner by owner, and mends what differs.

After a restore the two are of different moments. Videos that are being worked on, and objects that
are young, are left alone: somebody may be between storing an object and committing its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from scenebook.db import stored, videos
from scenebook.db.stored import Named, Needed
from scenebook.errors import Conflict, NotFound
from scenebook.model import Stage
from scenebook.settling import fail
from scenebook.spaces import Operator
from scenebook.storage import Storage, StoredObject, video_prefix
from scenebook.videos import retry_video

log = structlog.get_logger(__name__)

VIDEOS_AT_ONCE = 100
FIRST = UUID(int=0)
UPLOADS = "uploads"
LOST = (
    "Its source is missing from storage (source_missing). What was found in it can be searched; to "
    "have it whole, delete this video and add the file again."
)


class Difference(StrEnum):
    """How storage and rows differ."""

    NO_ROW = "no_row"  # an object that no row names
    UPLOAD_PART = "upload_part"  # a part of an upload that is over or unknown
    SOURCE_MISSING = "source_missing"
    PICTURES_MISSING = "pictures_missing"  # or the sound
    WORDS_MISSING = "words_missing"  # the transcript file; its utterances are rows


class Remedy(StrEnum):
    """What `apply` does about it."""

    REMOVE = "remove"
    INDEX_AGAIN = "index_again"
    MARK = "mark"  # says so in the video's reason
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: of an object, or of a video and how many of its objects."""

    owner_id: UUID
    difference: Difference
    remedy: Remedy
    key: str | None = None
    bytes: int = 0
    video_id: UUID | None = None
    title: str | None = None
    objects: int = 1


@dataclass(frozen=True, slots=True)
class Reconciling:
    """One run over all owners; without `apply` it changes nothing."""

    operator: Operator
    storage: Storage
    grace: timedelta
    apply: bool = False

    def owner_ids(self) -> list[UUID]:
        """Every owner that has a row or an object."""
        with_objects = filter(None, map(_uuid, self.storage.prefixes()))
        return sorted({*self.operator.owner_ids(), *with_objects})

    def owner(self, owner_id: UUID) -> Iterator[Finding]:
        """What differs for one owner, mended as it is found if so asked."""
        # Objects first: a video that is indexed again writes under keys that lie there perhaps.
        for batch in self.storage.objects(str(owner_id)):
            yield from self._objects(owner_id, batch)
        after = FIRST
        while page := self._page(owner_id, after):
            for video in page:
                yield from self._video(owner_id, video)
            after = page[-1].id

    def _objects(self, owner_id: UUID, batch: list[StoredObject]) -> Iterator[Finding]:
        old = [one for one in batch if one.modified < datetime.now(UTC) - self.grace]
        ids = {id for one in old for id in (_uuid(part) for part in one.key.split("/")[1:3]) if id}
        with self.operator.db.transaction(owner_id=owner_id) as tx:
            known = stored.named(tx, owner_id=owner_id, ids=ids)
            arriving = stored.open_uploads(tx, owner_id=owner_id, ids=ids)
        for one in old:
            difference = _unnamed(one.key, known, arriving)
            if difference is None:
                continue
            if self.apply and self.storage.remove_unchanged(one):
                log.info("object_removed", owner_id=str(owner_id), key=one.key)
            yield Finding(owner_id, difference, Remedy.REMOVE, key=one.key, bytes=one.bytes)

    def _page(self, owner_id: UUID, after: UUID) -> list[Needed]:
        with self.operator.db.transaction(owner_id=owner_id) as tx:
            return stored.settled(tx, owner_id=owner_id, after=after, limit=VIDEOS_AT_ONCE)

    def _video(self, owner_id: UUID, video: Needed) -> Iterator[Finding]:
        there = self.storage.list_prefix(video_prefix(owner_id=owner_id, video_id=video.id))
        shown = {*video.image_keys, *filter(None, [video.audio_key])}
        has_source = video.source_key in there

        def finding(difference: Difference, remedy: Remedy, objects: int = 1) -> Finding:
            return Finding(
                owner_id,
                difference,
                remedy,
                video_id=video.id,
                title=video.title,
                objects=objects,
            )

        if not has_source:
            told = video.failed_stage is not None and video.reason == LOST
            if self.apply and not told:
                self._mark(owner_id, video)
            yield finding(Difference.SOURCE_MISSING, Remedy.NONE if told else Remedy.MARK)
        if lost := len(shown - there.keys()):
            if self.apply and has_source:
                self._index_again(owner_id, video)
            remedy = Remedy.INDEX_AGAIN if has_source else Remedy.NONE
            yield finding(Difference.PICTURES_MISSING, remedy, lost)
        if video.transcript_key is not None and video.transcript_key not in there:
            yield finding(Difference.WORDS_MISSING, Remedy.NONE)

    def _mark(self, owner_id: UUID, video: Needed) -> None:
        """Say what is lost; scenes that are there can still be searched, so it is `partial`."""
        with self.operator.db.transaction(owner_id=owner_id) as tx:
            newest = videos.newest_generation(tx, owner_id=owner_id, video_id=video.id)
            fail(
                tx,
                owner_id=owner_id,
                video_id=video.id,
                generation=1 + max(newest, video.generation),
                stage=Stage.PROBE,
                reason=LOST,
            )
        log.warning("source_missing", owner_id=str(owner_id), video_id=str(video.id))

    def _index_again(self, owner_id: UUID, video: Needed) -> None:
        try:
            retry_video(self.operator.db, owner_id=owner_id, video_id=video.id, stage=Stage.PROBE)
        except (Conflict, NotFound) as error:  # somebody was quicker
            log.info("not_indexed_again", video_id=str(video.id), error=str(error))


def _unnamed(
    key: str, known: Mapping[UUID, Named], arriving: Collection[UUID | None]
) -> Difference | None:
    """Why nobody needs an object; None if somebody does, or may."""
    parts = key.split("/")
    if parts[1] == UPLOADS and len(parts) > 2:
        return None if _uuid(parts[2]) in arriving else Difference.UPLOAD_PART
    video_id = _uuid(parts[1])
    if video_id is None or video_id in arriving:
        return None  # not ours, or being joined from its parts
    video = known.get(video_id)
    if video is not None and (video.busy or key in video.keys):
        return None
    return Difference.NO_ROW


def _uuid(text: str) -> UUID | None:
    """The id that a part of a key is, written as we write it."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None

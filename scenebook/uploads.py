"""Resumable uploads: bytes arrive in parts, at any copy of the API, and become one video.

Each part is an object `{owner}/uploads/{upload}/{offset}.{writer}`; nothing lasts on local disks.
A request that goes on at the right offset becomes the newest writer and fences off the one before,
so of several parts at one offset the newest writer's is the one that counts.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from scenebook.abandoned import signs_of_life
from scenebook.db import uploads
from scenebook.db.engine import Database
from scenebook.db.uploads import Upload
from scenebook.errors import Conflict, Expired, InvalidInput, NotFound, ScenebookError, TooLarge
from scenebook.incoming import About, AddedVideo, claim_bytes, source_key, start
from scenebook.model import VideoStatus
from scenebook.quotas import NO_LIMITS, Limits, within
from scenebook.storage import Storage, video_prefix

log = structlog.get_logger(__name__)

# What one request may lose, and what it holds in memory.
PART_BYTES = 4 * 1024 * 1024
TIDY_BATCH = 100


def parts_prefix(*, owner_id: UUID, upload_id: UUID) -> str:
    """Every part of an upload lies under this key."""
    return f"{owner_id}/uploads/{upload_id}"


def create(
    db: Database,
    *,
    owner_id: UUID,
    size: int,
    about: About,
    max_bytes: int,
    ttl_s: float,
    limits: Limits = NO_LIMITS,
) -> Upload:
    """Begin an upload of so many bytes; they count against the quota from now on.

    Raises InvalidInput, TooLarge or QuotaExceeded.
    """
    if size < 1:
        raise InvalidInput("The file is empty.", code="empty_file")
    if size > max_bytes:
        raise TooLarge(f"The upload has {size} bytes and MEDIA_MAX_BYTES is {max_bytes}.")
    with db.transaction(owner_id=owner_id) as tx, within(tx, limits, owner_id=owner_id):
        return uploads.add(tx, owner_id=owner_id, size=size, metadata=about.columns(), ttl_s=ttl_s)


def get_upload(db: Database, *, owner_id: UUID, upload_id: UUID) -> Upload:
    """One upload. Raises NotFound, or Expired if it waited too long for its rest."""
    with db.transaction(owner_id=owner_id) as tx:
        found = uploads.get(tx, owner_id=owner_id, upload_id=upload_id)
    if found.expired and found.video_id is None:
        raise Expired("This upload has expired. Begin a new one.", code="upload_expired")
    return found


class Writer:
    """One request's right to add to an upload, until another one takes over."""

    def __init__(
        self, db: Database, storage: Storage, *, owner_id: UUID, upload: Upload, ttl_s: float
    ) -> None:
        self._db = db
        self._storage = storage
        self._owner_id = owner_id
        self._ttl_s = ttl_s
        self.upload = upload
        self.received = upload.received
        with db.transaction(owner_id=owner_id) as tx:
            writer = uploads.take_over(
                tx, owner_id=owner_id, upload_id=upload.id, offset=upload.received, ttl_s=ttl_s
            )
        if writer is None:
            raise _moved_on()
        self._writer = writer

    def add(self, content: bytes) -> None:
        """Store a part and count it. Raises Conflict if another request has taken over."""
        if not content:
            return
        prefix = parts_prefix(owner_id=self._owner_id, upload_id=self.upload.id)
        key = f"{prefix}/{self.received:015d}.{self._writer:010d}"
        self._storage.put(key, content)
        with self._db.transaction(owner_id=self._owner_id) as tx:
            counted = uploads.advance(
                tx,
                owner_id=self._owner_id,
                upload_id=self.upload.id,
                writer=self._writer,
                offset=self.received,
                size=len(content),
                ttl_s=self._ttl_s,
            )
        if not counted:
            self._storage.delete(key)
            raise _moved_on()
        self.received += len(content)


def write_at(
    db: Database, storage: Storage, *, owner_id: UUID, upload_id: UUID, offset: int, ttl_s: float
) -> Writer:
    """The right to add at this offset. Raises NotFound, Expired, or Conflict (`wrong_offset`)."""
    found = get_upload(db, owner_id=owner_id, upload_id=upload_id)
    if found.received != offset:
        raise _moved_on()
    return Writer(db, storage, owner_id=owner_id, upload=found, ttl_s=ttl_s)


def _moved_on() -> Conflict:
    return Conflict(
        "The upload stands at another offset, or another request goes on with it. Ask by HEAD.",
        code="wrong_offset",
    )


def finish(
    db: Database,
    storage: Storage,
    *,
    owner_id: UUID,
    upload_id: UUID,
    limits: Limits = NO_LIMITS,
) -> Upload:
    """Make a whole upload a video; one that is not whole, or is a video already, stays as it is.

    The video has the upload's id, unless the owner had the same bytes before. Two requests may do
    this at once: they write the same bytes under the same key, and the first one counts.
    """
    found = get_upload(db, owner_id=owner_id, upload_id=upload_id)
    if found.received < found.bytes or found.video_id is not None:
        return found
    key = source_key(owner_id=owner_id, video_id=upload_id)
    prefix = parts_prefix(owner_id=owner_id, upload_id=upload_id)
    try:
        content_hash = storage.join(_parts(storage, found, prefix), key)
    except FileNotFoundError:  # another request may have finished, and removed the parts
        return _finished(db, owner_id=owner_id, upload_id=upload_id)
    try:
        added = _as_video(db, storage, found, content_hash, limits)
    except NotFound:  # it was given up meanwhile, and nobody else knows of the joined bytes
        storage.delete(key)
        raise
    if added.video.id != upload_id:
        storage.delete(key)
    storage.delete_prefix(prefix)
    return _finished(db, owner_id=owner_id, upload_id=upload_id)


def _finished(db: Database, *, owner_id: UUID, upload_id: UUID) -> Upload:
    found = get_upload(db, owner_id=owner_id, upload_id=upload_id)
    if found.video_id is None:
        raise Conflict("Parts of this upload are missing. Begin a new one.", code="upload_broken")
    return found


def _parts(storage: Storage, upload: Upload, prefix: str) -> list[str]:
    """The keys of the parts in order, the newest writer's at each offset.

    Raises FileNotFoundError if they are not the whole.
    """
    sizes = storage.list_prefix(prefix)
    newest = {key.rpartition("/")[2].partition(".")[0]: key for key in sorted(sizes)}
    at = 0
    for offset, key in sorted(newest.items()):
        if int(offset) != at:
            break
        at += sizes[key]
    if at != upload.bytes:
        log.warning("upload_parts_missing", upload_id=str(upload.id), at=at)
        raise FileNotFoundError(prefix)
    return [key for _, key in sorted(newest.items())]


def _as_video(
    db: Database, storage: Storage, upload: Upload, content_hash: str, limits: Limits
) -> AddedVideo:
    """The video of joined bytes; the upload counts as complete once that video has its first job.

    Raises Conflict if an older video of the same bytes is being deleted.
    """
    owner_id = upload.owner_id
    with db.transaction(owner_id=owner_id) as tx, within(tx, limits, owner_id=owner_id):
        now = uploads.get(tx, owner_id=owner_id, upload_id=upload.id, lock=True)
        video, added = claim_bytes(
            tx,
            owner_id=owner_id,
            video_id=now.video_id or upload.id,
            size=upload.bytes,
            content_hash=content_hash,
            about=About.from_columns(upload.metadata),
        )
        if added or video.status is not VideoStatus.UPLOADING:
            uploads.complete(tx, owner_id=owner_id, upload_id=upload.id, video_id=video.id)
            if added:
                return start(tx, owner_id=owner_id, video_id=video.id)
            return AddedVideo(video, created=False)
    # An ordinary upload of the same bytes broke off, or is on its way: theirs are whole.
    signs_of_life(db, owner_id=owner_id, video_id=video.id)()
    try:
        storage.copy(source_key(owner_id=owner_id, video_id=upload.id), video.source_key)
        with db.transaction(owner_id=owner_id) as tx:
            uploads.get(tx, owner_id=owner_id, upload_id=upload.id, lock=True)
            started = start(tx, owner_id=owner_id, video_id=video.id)
            uploads.complete(tx, owner_id=owner_id, upload_id=upload.id, video_id=video.id)
    except Conflict:  # it was deleted meanwhile, and nobody else looks for what came since
        storage.delete_prefix(video_prefix(owner_id=owner_id, video_id=video.id))
        raise
    return started


def terminate(db: Database, storage: Storage, *, owner_id: UUID, upload_id: UUID) -> None:
    """Give an upload up, with what has arrived; a video that came of it stays."""
    with db.transaction(owner_id=owner_id) as tx:
        found = uploads.get(tx, owner_id=owner_id, upload_id=upload_id, lock=True)
        uploads.remove(tx, owner_id=owner_id, upload_id=upload_id)
    _remove_parts(storage, found)


def remove_expired(db: Database, storage: Storage) -> int:
    """Remove what is left of uploads that ended, of all owners; `db` is the relay's.

    Parts first: a row that outlives its parts is found again. Returns how many were removed.
    """
    with db.across_owners() as tx:
        ended = uploads.expired(tx, limit=TIDY_BATCH)
    removed = 0
    for one in ended:
        try:
            _remove_parts(storage, one)
        except ScenebookError as error:
            log.warning("upload_not_removed", upload_id=str(one.id), error=str(error))
            continue
        with db.transaction(owner_id=one.owner_id) as tx:
            uploads.remove(tx, owner_id=one.owner_id, upload_id=one.id)
        removed += 1
    return removed


def _remove_parts(storage: Storage, upload: Upload) -> None:
    storage.delete_prefix(parts_prefix(owner_id=upload.owner_id, upload_id=upload.id))
    if upload.video_id is None:  # a request may have died while it joined the parts
        storage.delete_prefix(video_prefix(owner_id=upload.owner_id, video_id=upload.id))

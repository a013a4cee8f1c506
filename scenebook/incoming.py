"""Videos on their way in: files that have arrived, and URLs to fetch; what they are called."""

from __future__ import annotations

import codecs
import hashlib
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from sqlalchemy import Connection

from scenebook import jobs
from scenebook.abandoned import give_up, gone, signs_of_life
from scenebook.db import imports, videos
from scenebook.db.engine import Database
from scenebook.errors import Conflict, InvalidMedia, NotFound, ScenebookError
from scenebook.model import OWN, Stage, Video, VideoStatus
from scenebook.quotas import NO_LIMITS, Limits, within
from scenebook.storage import Storage, video_prefix
from scenebook.transcripts import parse_subtitles

LONGEST_TITLE = 500
UNTITLED = "untitled"
# Scripts and emoji need these two; every other invisible character can only mislead.
JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Words:
    """A transcript file that came with a video, checked; `suffix` is `.vtt` or `.srt`."""

    content: bytes
    suffix: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class About:
    """What an owner says of a video; `language` as `languages.configuration_of` gives it."""

    title: str
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The values of the columns of `videos`."""
        own = {OWN: self.metadata} if self.metadata else {}
        return {"title": self.title, "language": self.language, "metadata": own}

    @classmethod
    def from_columns(cls, columns: dict[str, Any]) -> About:
        """What `columns` came from."""
        return cls(columns["title"], columns["language"], columns["metadata"].get(OWN, {}))


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole file on this machine, with its size in bytes and its SHA-256 in hexadecimal."""

    path: Path
    size: int
    content_hash: str
    about: About
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class AddedVideo:
    """A video, and whether this call added it or the owner had the same bytes before."""

    video: Video
    created: bool


def add_video(
    db: Database,
    storage: Storage,
    *,
    owner_id: UUID,
    path: Path,
    title: str | None = None,
    transcript: Path | None = None,
    max_bytes: int | None = None,
    language: str | None = None,
) -> AddedVideo:
    """Store a local file and put it on the to-do list; the same bytes are stored once an owner.

    language: of its words, as `languages.configuration_of` gives it. Raises InvalidMedia or
    InvalidSubtitles before anything is stored.
    """
    size = _checked_size(path, max_bytes=max_bytes)
    words = None
    if transcript is not None:
        if not transcript.is_file():
            raise NotFound(f"There is no file {transcript}.")
        words = checked_words(transcript.read_bytes(), name=transcript.name)
    about = About(title_of(title or path.name), language)
    return take(db, storage, Arrived(path, size, _hash(path), about, words), owner_id=owner_id)


def take(
    db: Database, storage: Storage, arrived: Arrived, *, owner_id: UUID, limits: Limits = NO_LIMITS
) -> AddedVideo:
    """Store what has arrived and put it on the to-do list, unless the owner has the same bytes.

    Raises QuotaExceeded, or Conflict if the same bytes are being deleted or have other words.
    """
    with db.transaction(owner_id=owner_id) as tx, within(tx, limits, owner_id=owner_id):
        video, _ = claim_bytes(
            tx,
            owner_id=owner_id,
            video_id=uuid4(),
            size=arrived.size,
            content_hash=arrived.content_hash,
            about=arrived.about,
        )
    if video.status is VideoStatus.UPLOADING:
        return _store(db, storage, arrived, video)
    _same_transcript(storage, video, arrived.words)
    return AddedVideo(video, created=False)


def _store(db: Database, storage: Storage, arrived: Arrived, video: Video) -> AddedVideo:
    """Store the source and the words of a claimed video; of several at once the first counts."""
    owner_id, video_id = video.owner_id, video.id
    sign = signs_of_life(db, owner_id=owner_id, video_id=video_id)
    sign()
    try:
        storage.put_file(video.source_key, arrived.path, on_part=sign)
        transcript_key = _put_words(storage, arrived.words, owner_id=owner_id, video_id=video_id)
        with db.transaction(owner_id=owner_id) as tx:
            added = start(tx, owner_id=owner_id, video_id=video_id, transcript_key=transcript_key)
    except Conflict:  # it was deleted meanwhile, and nobody else looks for what came since
        storage.delete_prefix(video_prefix(owner_id=owner_id, video_id=video_id))
        raise
    if not added.created:
        if transcript_key is not None and transcript_key != added.video.transcript_key:
            storage.delete(transcript_key)
        _same_transcript(storage, added.video, arrived.words)
    return added


def claim_bytes(
    tx: Connection, *, owner_id: UUID, video_id: UUID, size: int, content_hash: str, about: About
) -> tuple[Video, bool]:
    """The owner's one video with these bytes, and whether it is the new one.

    In the status `uploading` its source is not stored yet, by whoever began. Raises Conflict.
    """
    added = videos.add(
        tx,
        owner_id=owner_id,
        video_id=video_id,
        source_key=source_key(owner_id=owner_id, video_id=video_id),
        content_hash=content_hash,
        size=size,
        **about.columns(),
    )
    video = videos.with_hash(tx, owner_id=owner_id, content_hash=content_hash)
    if video is None:
        raise Conflict("The same video is being deleted. Try again when that is done.")
    return video, added


def start(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    transcript_key: str | None = None,
    stage: Stage = Stage.PROBE,
) -> AddedVideo:
    """Add the first job of a video whose objects are stored, once.

    Raises Conflict if the video was deleted or given up meanwhile.
    """
    first = videos.uploaded(tx, owner_id=owner_id, video_id=video_id, transcript_key=transcript_key)
    if first:
        jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=1, stage=stage)
    try:
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    except NotFound:
        raise gone() from None
    if video.status is VideoStatus.DELETING:
        raise gone()
    return AddedVideo(video, created=first)


def add_import(
    db: Database,
    storage: Storage,
    *,
    owner_id: UUID,
    url: str,
    about: About,
    words: Words | None = None,
    limits: Limits = NO_LIMITS,
) -> Video:
    """Put a URL on the to-do list. Call `addresses.check_url` first. Raises QuotaExceeded."""
    video_id = uuid4()
    with db.transaction(owner_id=owner_id) as tx, within(tx, limits, owner_id=owner_id):
        imports.add(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            source_key=source_key(owner_id=owner_id, video_id=video_id),
            source_url=url,
            **about.columns(),
        )
        if words is None:
            return start(tx, owner_id=owner_id, video_id=video_id, stage=Stage.FETCH).video
    # The row comes first, so that an object that is left behind by a crash belongs to something.
    try:
        key = _put_words(storage, words, owner_id=owner_id, video_id=video_id)
    except ScenebookError:
        give_up(db, owner_id=owner_id, video_id=video_id)
        raise
    with db.transaction(owner_id=owner_id) as tx:
        return start(
            tx, owner_id=owner_id, video_id=video_id, transcript_key=key, stage=Stage.FETCH
        ).video


def source_key(*, owner_id: UUID, video_id: UUID) -> str:
    """Where the source of a video is stored."""
    return f"{video_prefix(owner_id=owner_id, video_id=video_id)}/source"


def title_of(name: str) -> str:
    """A title from what a client calls a file: never a path, nothing that hides or reorders."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(
        " " if one.isspace() else one
        for one in last
        if one.isspace() or one in JOINERS or unicodedata.category(one) not in ("Cc", "Cf", "Cs")
    )
    return " ".join(shown.split())[:LONGEST_TITLE].strip(". ") or UNTITLED


def title_of_url(url: str) -> str:
    """A title from the last part of a URL's path, else its host."""
    parts = urlsplit(url)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2], errors="replace")
    return title_of(last) if last else title_of(parts.hostname or UNTITLED)


def checked_words(content: bytes, *, name: str) -> Words:
    """A transcript file that can be read. Raises InvalidSubtitles."""
    parse_subtitles(content, name=title_of(name))
    is_vtt = content.lstrip(codecs.BOM_UTF8).startswith(b"WEBVTT")
    return Words(content, ".vtt" if is_vtt else ".srt")


def _put_words(
    storage: Storage, words: Words | None, *, owner_id: UUID, video_id: UUID
) -> str | None:
    """Store the transcript file of a video, if there is one; its key, another one for other words.

    Two requests at once with the same bytes must not replace each other's words.
    """
    if words is None:
        return None
    name = f"transcript-{words.digest[:16]}{words.suffix}"
    key = f"{video_prefix(owner_id=owner_id, video_id=video_id)}/{name}"
    storage.put(key, words.content)
    return key


def _same_transcript(storage: Storage, video: Video, words: Words | None) -> None:
    """Words that come with bytes that are stored already must not be dropped without a word."""
    if words is None:
        return
    stored = None if video.transcript_key is None else storage.get(video.transcript_key)
    if stored != words.content:
        raise Conflict(
            f"This video is stored already as {video.id}, with another transcript or none. "
            "Delete it first to index it with this one."
        )


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidMedia(
            f"{path.name} cannot be read: {error.strerror}.", code="unreadable"
        ) from error


def _checked_size(path: Path, *, max_bytes: int | None) -> int:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise InvalidMedia(
            f"{path.name} has {size} bytes and MEDIA_MAX_BYTES is {max_bytes}.", code="too_large"
        )
    return size

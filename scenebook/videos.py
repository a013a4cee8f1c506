"""What an owner does with videos: add, look at, retry, cancel, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_DNS, UUID, uuid4, uuid5

from scenebook import jobs
from scenebook.db import queue, scenes, videos
from scenebook.db.engine import Database
from scenebook.errors import Conflict, InvalidInput, InvalidMedia, NotFound
from scenebook.model import (
    COMPLETE,
    Channel,
    ChannelStatus,
    Scene,
    Stage,
    Video,
    VideoStatus,
)
from scenebook.storage import Storage, video_prefix
from scenebook.transcripts import parse_subtitles

# The stage that fills a channel, to do again when the channel is retried.
STAGE_OF: Mapping[Channel, Stage] = {
    Channel.VISUAL_CLIP: Stage.VISUAL_CLIP,
    Channel.TRANSCRIPT: Stage.TRANSCRIBE,
    Channel.VISUAL: Stage.DESCRIBE,
    Channel.SUMMARY: Stage.DESCRIBE,
}


@dataclass(frozen=True, slots=True)
class AddedVideo:
    """A video, and whether this call added it or the owner had the same bytes before."""

    video: Video
    created: bool


def owner_from(text: str) -> UUID:
    """An owner's id: a UUID as it is, any other name as the same UUID every time."""
    if not text.strip():
        raise InvalidInput("The owner is empty. Name an owner, or leave --owner out.")
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE_DNS, f"{text}.scenebook")


def add_video(
    db: Database,
    storage: Storage,
    *,
    owner_id: UUID,
    path: Path,
    title: str | None = None,
    transcript: Path | None = None,
    max_bytes: int | None = None,
) -> AddedVideo:
    """Store a file and put it on the to-do list; the same bytes are stored once an owner.

    Raises InvalidMedia or InvalidSubtitles before anything is stored.
    """
    size = _checked_size(path, max_bytes=max_bytes)
    subtitles = None if transcript is None else _checked_subtitles(transcript)
    content_hash = _hash(path)
    video_id = uuid4()
    with db.transaction(owner_id=owner_id) as tx:
        videos.add(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            title=title or path.name,
            source_key=f"{video_prefix(owner_id=owner_id, video_id=video_id)}/source",
            content_hash=content_hash,
            size=size,
        )
        video = videos.with_hash(tx, owner_id=owner_id, content_hash=content_hash)
    if video is None:
        raise Conflict(f"{path.name} is being deleted. Try again when that is done.")
    if video.status is not VideoStatus.UPLOADING:
        _same_transcript(storage, video, subtitles)
        return AddedVideo(video, created=False)
    storage.put_file(video.source_key, path)
    transcript_key = None
    if subtitles is not None and transcript is not None:
        prefix = video_prefix(owner_id=owner_id, video_id=video.id)
        transcript_key = f"{prefix}/transcript{transcript.suffix.lower()}"
        storage.put(transcript_key, subtitles)
    started = _start(db, owner_id=owner_id, video_id=video.id, transcript_key=transcript_key)
    return AddedVideo(started, created=True)


def _checked_subtitles(transcript: Path) -> bytes:
    if not transcript.is_file():
        raise NotFound(f"There is no file {transcript}.")
    content = transcript.read_bytes()
    parse_subtitles(content, name=transcript.name)
    return content


def _same_transcript(storage: Storage, video: Video, subtitles: bytes | None) -> None:
    """Words that come with bytes that are stored already must not be dropped without a word."""
    if subtitles is None:
        return
    stored = None if video.transcript_key is None else storage.get(video.transcript_key)
    if stored != subtitles:
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


def _start(db: Database, *, owner_id: UUID, video_id: UUID, transcript_key: str | None) -> Video:
    """Make a stored source the first job, once."""
    with db.transaction(owner_id=owner_id) as tx:
        if videos.uploaded(tx, owner_id=owner_id, video_id=video_id, transcript_key=transcript_key):
            jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=1, stage=Stage.PROBE)
        return videos.get(tx, owner_id=owner_id, video_id=video_id)


def get_video(db: Database, *, owner_id: UUID, video_id: UUID) -> Video:
    """One video; NotFound if this owner has none with this id."""
    with db.transaction(owner_id=owner_id) as tx:
        return videos.get(tx, owner_id=owner_id, video_id=video_id)


def list_videos(db: Database, *, owner_id: UUID) -> list[Video]:
    """Every video of the owner, newest first."""
    with db.transaction(owner_id=owner_id) as tx:
        return videos.all_of(tx, owner_id=owner_id)


def scenes_of(db: Database, *, owner_id: UUID, video_id: UUID) -> list[Scene]:
    """The scenes that readers see, in order."""
    with db.transaction(owner_id=owner_id) as tx:
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        return scenes.of_video(
            tx, owner_id=owner_id, video_id=video_id, generation=video.generation
        )


def retry_video(
    db: Database,
    *,
    owner_id: UUID,
    video_id: UUID,
    stage: Stage | None = None,
    channel: Channel | None = None,
) -> int:
    """Do again what failed, or one stage, or one channel, with all that follows from it.

    Returns how many stages were put on the to-do list. A new segmentation is a new generation:
    readers see the old one until the new one is complete.
    """
    if stage is not None and channel is not None:
        raise InvalidInput("Name a stage or a channel, not both.")
    if stage is Stage.DELETE:
        raise InvalidInput("Deleting is not a stage to retry; delete the video again.")
    with db.transaction(owner_id=owner_id) as tx:
        queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        if video.status is VideoStatus.DELETING:
            raise Conflict("The video is being deleted.")
        if video.status is VideoStatus.UPLOADING:
            raise Conflict("The upload was interrupted. Add the same file again to finish it.")
        unfinished, _ = queue.open_jobs(tx, owner_id=owner_id, video_id=video_id)
        if unfinished:
            raise Conflict("The video is being indexed. Wait until it is settled, or cancel it.")
        counts = scenes.count_channels(
            tx, owner_id=owner_id, video_id=video_id, generation=video.generation
        )
        again = _stages_to_retry(video, counts, stage=stage, channel=channel)
        if not again:
            return 0
        generation = video.generation
        if again & {Stage.PROBE, Stage.SEGMENT} or not counts:
            generation = 1 + videos.newest_generation(tx, owner_id=owner_id, video_id=video_id)
            again = {Stage.PROBE}
        else:
            scenes.reset_channels(
                tx,
                owner_id=owner_id,
                video_id=video_id,
                generation=generation,
                channels={one for at in again for one in scenes.CHANNELS_OF.get(at, ())},
                # Embedding anew gives no words to a scene that has none, for whatever reason.
                only=ChannelStatus.OK if again == {Stage.EMBED_TEXT} else None,
            )
        videos.set_status(tx, owner_id=owner_id, video_id=video_id, status=VideoStatus.WAITING)
        return jobs.restart(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            generation=generation,
            stages=sorted(again),
        )


def _stages_to_retry(
    video: Video,
    counts: list[scenes.ChannelCount],
    *,
    stage: Stage | None,
    channel: Channel | None,
) -> set[Stage]:
    if stage is not None:
        return {stage}
    if channel is not None:
        return {STAGE_OF[channel]}
    started_anew = video.failed_stage is not None or video.status is VideoStatus.CANCELLED
    if started_anew or not counts:
        return {Stage.PROBE}
    return {STAGE_OF[one.channel] for one in counts if one.status not in COMPLETE}


def cancel_video(db: Database, *, owner_id: UUID, video_id: UUID) -> None:
    """Stop indexing; what is stored stays."""
    with db.transaction(owner_id=owner_id) as tx:
        queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        if video.status not in (VideoStatus.WAITING, VideoStatus.PROCESSING):
            raise Conflict(f"The video is {video.status}; there is nothing to cancel.")
        jobs.cancel_video(tx, owner_id=owner_id, video_id=video_id)


def delete_video(db: Database, *, owner_id: UUID, video_id: UUID) -> None:
    """Hide a video at once and remove its rows and files soon after."""
    with db.transaction(owner_id=owner_id) as tx:
        queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
        videos.get(tx, owner_id=owner_id, video_id=video_id)
        jobs.cancel(tx, owner_id=owner_id, video_id=video_id)
        jobs.forget(tx, owner_id=owner_id, video_id=video_id, generation=0, stages=[Stage.DELETE])
        videos.set_status(tx, owner_id=owner_id, video_id=video_id, status=VideoStatus.DELETING)
        jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=0, stage=Stage.DELETE)

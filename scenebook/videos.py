"""What an owner does with videos: add, look at, retry, cancel, delete."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_DNS, UUID, uuid4, uuid5

from scenebook import jobs
from scenebook.db import queue, scenes, videos
from scenebook.db.engine import Database, statement
from scenebook.errors import Conflict, InvalidInput, InvalidMedia, NotFound
from scenebook.model import (
    COMPLETE,
    SETTLED,
    Channel,
    ChannelStatus,
    JobState,
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
# Share of the whole work, for the estimate of what is left; decoding dominates.
WEIGHT: Mapping[Stage, float] = {
    Stage.PROBE: 0.02,
    Stage.SEGMENT: 0.5,
    Stage.TRANSCRIBE: 0.15,
    Stage.VISUAL_CLIP: 0.15,
    Stage.DESCRIBE: 0.08,
    Stage.EMBED_TEXT: 0.08,
    Stage.FINALIZE: 0.02,
}


@dataclass(frozen=True, slots=True)
class AddedVideo:
    """A video, and whether this call added it or the owner had the same bytes before."""

    video: Video
    created: bool


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far one stage is: scenes or other units, done of total."""

    stage: Stage
    state: JobState
    done: int
    total: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a video stands: its stages, its channels, and the seconds that are likely left."""

    status: VideoStatus
    stages: tuple[StageProgress, ...]
    eta_s: float | None
    channel_counts: Mapping[Channel, Mapping[ChannelStatus, int]]
    reason: str | None


def owner_from(text: str) -> UUID:
    """An owner's id: a UUID as it is, any other name as the same UUID every time."""
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
    subtitles = transcript.read_bytes() if transcript is not None else None
    if subtitles is not None and transcript is not None:
        parse_subtitles(subtitles, name=transcript.name)
    with path.open("rb") as file:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    video_id = uuid4()
    prefix = video_prefix(owner_id=owner_id, video_id=video_id)
    suffix = transcript.suffix.lower() if transcript is not None else ""
    with db.transaction(owner_id=owner_id) as tx:
        created = videos.add(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            title=title or path.name,
            source_key=f"{prefix}/source",
            transcript_key=f"{prefix}/transcript{suffix}" if suffix else None,
            content_hash=content_hash,
            size=size,
        )
        video = videos.with_hash(tx, owner_id=owner_id, content_hash=content_hash)
    if video is None:
        raise Conflict(f"{path.name} is being deleted. Try again when that is done.")
    if not created and video.status is not VideoStatus.UPLOADING:
        return AddedVideo(video, created=False)
    storage.put_file(video.source_key, path)
    if subtitles is not None and video.transcript_key is not None:
        storage.put(video.transcript_key, subtitles)
    return AddedVideo(_start(db, owner_id=owner_id, video_id=video.id), created=True)


def _checked_size(path: Path, *, max_bytes: int | None) -> int:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise InvalidMedia(
            f"{path.name} has {size} bytes and MEDIA_MAX_BYTES is {max_bytes}.", code="too_large"
        )
    return size


def _start(db: Database, *, owner_id: UUID, video_id: UUID) -> Video:
    """Make a stored source the first job, once."""
    with db.transaction(owner_id=owner_id) as tx:
        if videos.uploaded(tx, owner_id=owner_id, video_id=video_id):
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


def progress_of(db: Database, *, owner_id: UUID, video_id: UUID) -> Progress:
    """Where a video stands."""
    with db.transaction(owner_id=owner_id) as tx:
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        generation = max(1, videos.newest_generation(tx, owner_id=owner_id, video_id=video_id))
        rows = tx.execute(
            statement("jobs/stages"),
            {"owner_id": owner_id, "video_id": video_id, "generation": generation},
        ).all()
        counts = scenes.count_channels(
            tx, owner_id=owner_id, video_id=video_id, generation=generation
        )
    by_stage = {Stage(row.stage): row for row in rows}
    stages = tuple(
        StageProgress(
            stage=stage,
            state=_state(by_stage[stage]),
            done=int(by_stage[stage].done or 0),
            total=int(by_stage[stage].total or 1),
            error=by_stage[stage].error,
        )
        for stage in Stage
        if stage in by_stage
    )
    channels: dict[Channel, dict[ChannelStatus, int]] = defaultdict(dict)
    for one in counts:
        channels[one.channel][one.status] = one.scenes
    starts = [row.started_at for row in rows if row.started_at is not None]
    return Progress(
        status=video.status,
        stages=stages,
        eta_s=_eta_s(stages, min(starts)) if starts and video.status not in SETTLED else None,
        channel_counts=channels,
        reason=video.reason,
    )


def _state(row: object) -> JobState:
    """The state of a stage from the counts of its jobs."""
    counts = row._asdict()  # type: ignore[attr-defined]
    if counts["jobs"] == counts["finished"]:
        return JobState.FAILED if counts["failed"] else JobState.SUCCEEDED
    if counts["running"]:
        return JobState.RUNNING
    return JobState.RETRYABLE if counts["retrying"] else JobState.QUEUED


def _eta_s(stages: tuple[StageProgress, ...], started_at: datetime) -> float | None:
    """Seconds left if the rest goes as fast as what is done; None before there is a basis."""
    done = sum(WEIGHT.get(one.stage, 0) * one.done / max(1, one.total) for one in stages)
    elapsed = (datetime.now(UTC) - started_at).total_seconds()
    return elapsed * (1 - done) / done if done > 0.02 else None


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
    if video.status in (VideoStatus.FAILED, VideoStatus.CANCELLED) or not counts:
        return {Stage.PROBE}
    return {STAGE_OF[one.channel] for one in counts if one.status not in COMPLETE}


def cancel_video(db: Database, *, owner_id: UUID, video_id: UUID) -> None:
    """Stop indexing; what is stored stays."""
    with db.transaction(owner_id=owner_id) as tx:
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        if video.status in SETTLED:
            raise Conflict(f"The video is {video.status}; there is nothing to cancel.")
        jobs.cancel_video(tx, owner_id=owner_id, video_id=video_id)


def delete_video(db: Database, *, owner_id: UUID, video_id: UUID) -> None:
    """Hide a video at once and remove its rows and files soon after."""
    with db.transaction(owner_id=owner_id) as tx:
        queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
        videos.get(tx, owner_id=owner_id, video_id=video_id)
        jobs.cancel(tx, owner_id=owner_id, video_id=video_id)
        videos.set_status(tx, owner_id=owner_id, video_id=video_id, status=VideoStatus.DELETING)
        jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=0, stage=Stage.DELETE)

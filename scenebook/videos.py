"""What an owner does with videos: add, look at, retry, cancel, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from scenebook import jobs
from scenebook.db import queue, scenes, videos
from scenebook.db.engine import Database
from scenebook.errors import Conflict, InvalidInput
from scenebook.incoming import AddedVideo as AddedVideo
from scenebook.incoming import add_video as add_video
from scenebook.model import (
    COMPLETE,
    OWN,
    Channel,
    ChannelStatus,
    Scene,
    Stage,
    Video,
    VideoStatus,
)

# The stage that fills a channel, to do again when the channel is retried.
STAGE_OF: Mapping[Channel, Stage] = {
    Channel.VISUAL_CLIP: Stage.VISUAL_CLIP,
    Channel.TRANSCRIPT: Stage.TRANSCRIBE,
    Channel.VISUAL: Stage.DESCRIBE,
    Channel.SUMMARY: Stage.DESCRIBE,
}


def owner_from(text: str) -> UUID:
    """An owner's id: a UUID as it is, any other name as the same UUID every time."""
    if not text.strip():
        raise InvalidInput("The owner is empty. Name an owner, or leave --owner out.")
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE_DNS, f"{text}.scenebook")


def get_video(db: Database, *, owner_id: UUID, video_id: UUID) -> Video:
    """One video; NotFound if this owner has none with this id."""
    with db.transaction(owner_id=owner_id) as tx:
        return videos.get(tx, owner_id=owner_id, video_id=video_id)


def list_videos(db: Database, *, owner_id: UUID) -> list[Video]:
    """Every video of the owner, newest first."""
    with db.transaction(owner_id=owner_id) as tx:
        return videos.all_of(tx, owner_id=owner_id)


def own_metadata(video: Video) -> dict[str, Any]:
    """What its owner wrote about a video."""
    return dict(video.metadata.get(OWN, {}))


def container_metadata(video: Video) -> dict[str, Any]:
    """What the file says of itself: format, streams and tags; empty before it is probed."""
    return {key: value for key, value in video.metadata.items() if key != OWN}


def scenes_of(db: Database, *, owner_id: UUID, video_id: UUID) -> list[Scene]:
    """The scenes that readers see, in order."""
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
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
        if Stage.FETCH not in again and (again & {Stage.PROBE, Stage.SEGMENT} or not counts):
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
    if video.content_hash is None:
        return {Stage.FETCH}
    if stage is Stage.FETCH:
        raise Conflict("The source of this video is stored already; nothing is to be fetched.")
    if stage is not None:
        return {stage}
    if channel is not None:
        return {STAGE_OF[channel]}
    started_anew = video.failed_stage is not None or video.status is VideoStatus.CANCELLED
    if started_anew or not counts:
        return {Stage.PROBE}
    return {STAGE_OF[one.channel] for one in counts if one.status not in COMPLETE}


def edit_video(
    db: Database,
    *,
    owner_id: UUID,
    video_id: UUID,
    title: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> Video:
    """Change the title, or all that the owner wrote about a video; None leaves it as it is."""
    with db.transaction(owner_id=owner_id) as tx:
        edited = videos.edit(tx, owner_id=owner_id, video_id=video_id, title=title, own=own)
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    if video.status is VideoStatus.DELETING:
        raise Conflict("The video is being deleted.")
    if not edited:
        raise InvalidInput(
            "The metadata is too large beside what the file says of itself. Write less."
        )
    return video


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

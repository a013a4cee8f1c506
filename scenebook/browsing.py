"""What an owner looks at: pages of videos and scenes, words, pictures, sources.

A video that is being deleted has none of these any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import scenes, utterances, videos
from scenebook.db.engine import Database
from scenebook.errors import Expired, NotFound
from scenebook.model import Keyframe, Scene, Utterance, Video, VideoStatus


@dataclass(frozen=True, slots=True)
class PageOfVideos:
    """Some videos, newest first, and whether more follow."""

    videos: list[Video]
    more: bool


@dataclass(frozen=True, slots=True)
class PageOfScenes:
    """Some scenes of one generation in order, and whether more follow."""

    scenes: list[Scene]
    generation: int
    more: bool


def page_of_videos(
    db: Database,
    *,
    owner_id: UUID,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
    status: VideoStatus | None = None,
    title: str | None = None,
) -> PageOfVideos:
    """At most `limit` videos from behind the one with this time of creation and id.

    Without a status, those that are being deleted are left out. title: a part of it, in any case.
    """
    with db.transaction(owner_id=owner_id) as tx:
        found = videos.page(
            tx, owner_id=owner_id, limit=limit + 1, after=after, status=status, title=title
        )
    return PageOfVideos(found[:limit], more=len(found) > limit)


def best_keyframes(
    db: Database, *, owner_id: UUID, video_ids: Sequence[UUID]
) -> Mapping[UUID, UUID]:
    """The keyframe that shows best how a video begins, of those that have one."""
    with db.transaction(owner_id=owner_id) as tx:
        return videos.best_keyframes(tx, owner_id=owner_id, video_ids=video_ids)


def page_of_scenes(
    db: Database,
    *,
    owner_id: UUID,
    video_id: UUID,
    limit: int,
    first: int = 0,
    generation: int | None = None,
) -> PageOfScenes:
    """At most `limit` scenes from scene_index `first` on.

    Raises Expired if readers no longer see the generation that is asked for.
    """
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        video = seen_video(tx, owner_id=owner_id, video_id=video_id)
        if generation not in (None, video.generation):
            raise Expired("The video was indexed anew. Start from its first scene again.")
        found = scenes.of_video(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            generation=video.generation,
            indices=range(first, first + limit + 1),
        )
    return PageOfScenes(found[:limit], video.generation, more=len(found) > limit)


def get_scene(db: Database, *, owner_id: UUID, scene_id: UUID) -> Scene:
    """One scene that readers see; NotFound if this owner has none with this id."""
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        scene = scenes.by_ids(tx, owner_id=owner_id, ids=[scene_id]).get(scene_id)
        if scene is not None:
            video = videos.get(tx, owner_id=owner_id, video_id=scene.video_id)
            if scene.generation == video.generation and video.status is not VideoStatus.DELETING:
                return scene
    raise NotFound(f"There is no scene {scene_id}.")


def transcript_of(db: Database, *, owner_id: UUID, video_id: UUID) -> list[Utterance]:
    """What is said in a video, in order of time."""
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        video = seen_video(tx, owner_id=owner_id, video_id=video_id)
        by_scene = utterances.of_video(
            tx, owner_id=owner_id, video_id=video_id, generation=video.generation
        )
    lines = [line for some in by_scene.values() for line in some]
    return sorted(lines, key=lambda line: (line.start_ms, line.end_ms))


def get_keyframe(db: Database, *, owner_id: UUID, keyframe_id: UUID) -> Keyframe:
    """One stored picture; NotFound if this owner has none with this id."""
    with db.transaction(owner_id=owner_id) as tx:
        found = scenes.keyframe(tx, owner_id=owner_id, keyframe_id=keyframe_id)
    if found is None:
        raise NotFound(f"There is no keyframe {keyframe_id}.")
    return found


def get_seen_video(db: Database, *, owner_id: UUID, video_id: UUID) -> Video:
    """One video that is not being deleted."""
    with db.transaction(owner_id=owner_id) as tx:
        return seen_video(tx, owner_id=owner_id, video_id=video_id)


def seen_video(tx: Connection, *, owner_id: UUID, video_id: UUID) -> Video:
    """One video that is not being deleted, within a transaction."""
    video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    if video.status is VideoStatus.DELETING:
        raise NotFound(f"There is no video {video_id}.")
    return video

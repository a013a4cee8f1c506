"""Similar scenes: those of an owner that are nearest to one of the owner's own scenes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from scenebook.asking import thresholds_of
from scenebook.coverage import nothing_embedded
from scenebook.db import scenes, videos
from scenebook.db.engine import Database
from scenebook.db.hybrid import FusedMatch, Reason
from scenebook.db.search import find_similar_scenes, has_vector
from scenebook.db.spaces import StoredSpace, active_space
from scenebook.errors import InvalidQuery, NotFound
from scenebook.hits import RRF_K, SearchAnswer, hits_of
from scenebook.model import Channel, ChannelStatus, Match, Scene, SearchChannel, VideoStatus
from scenebook.queries import checked_limits


def similar_scenes(
    db: Database,
    *,
    owner_id: UUID,
    scene_id: UUID,
    channel: Channel = Channel.VISUAL_CLIP,
    limit: int = 10,
    video_id: UUID | None = None,
    other_videos_only: bool = False,
    threshold: float | None = None,
) -> SearchAnswer:
    """The owner's scenes most like one of them, without that one; needs no model.

    Of scenes with several vectors the best pair counts. threshold: least cosine similarity; None:
    what suits pictures compared with pictures in the channel's active space. Raises NotFound if the
    owner has no such scene, InvalidQuery with the reason if it has no vector.
    """
    checked_limits(limit=limit, threshold=threshold)
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        scene = _visible(tx, scene_id, owner_id=owner_id)
        stored = active_space(tx, channel)
        if stored is None:
            raise InvalidQuery(nothing_embedded(channel))
        if not has_vector(tx, owner_id=owner_id, scene_id=scene_id, space_id=stored.id):
            raise InvalidQuery(_why_without(scene, stored))
        found = find_similar_scenes(
            tx,
            owner_id=owner_id,
            scene_id=scene_id,
            channel=channel,
            threshold=thresholds_of(stored).image if threshold is None else threshold,
            limit=limit,
            space_id=stored.id,
            video_id=video_id,
            other_videos_only=other_videos_only,
        )
        ranked = [_of_one_channel(match, channel, rank) for rank, match in enumerate(found, 1)]
        return SearchAnswer(hits_of(tx, ranked, owner_id=owner_id), {})


def _of_one_channel(match: Match, channel: Channel, rank: int) -> FusedMatch:
    """A match with the score that a fusion of this channel alone would give it."""
    reason = Reason(SearchChannel(channel), rank, match.similarity, matched_ms=match.matched_ms)
    return FusedMatch(
        scene_id=match.scene_id,
        video_id=match.video_id,
        scene_index=match.scene_index,
        start_ms=match.start_ms,
        end_ms=match.end_ms,
        score=1 / (RRF_K + rank),
        matched_ms=match.matched_ms,
        reasons=(reason,),
    )


def _visible(tx: Connection, scene_id: UUID, *, owner_id: UUID) -> Scene:
    """The scene, if it belongs to the generation that the owner sees of a video."""
    scene = scenes.by_ids(tx, owner_id=owner_id, ids=[scene_id]).get(scene_id)
    if scene is not None:
        video = videos.get(tx, owner_id=owner_id, video_id=scene.video_id)
        if video.generation == scene.generation and video.status is not VideoStatus.DELETING:
            return scene
    raise NotFound(f"There is no scene {scene_id}. `scenebook scenes VIDEO --json` has their ids.")


def _why_without(scene: Scene, stored: StoredSpace) -> str:
    channel = stored.space.channel
    state = next((one for one in scene.channels if one.channel is channel), None)
    which = f"Scene {scene.scene_index} has no vector in {channel}"
    if state is None or state.status is ChannelStatus.OK:
        return (
            f"{which} of {stored.space.model}. `scenebook backfill --channel {channel}` makes it."
        )
    reason = f"{state.status}, {state.error}" if state.error else state.status
    return (
        f"{which}: {reason.rstrip('.')}. "
        f"`scenebook retry {str(scene.video_id)[:8]} --channel {channel}` tries again."
    )

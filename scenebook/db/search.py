"""Typed functions for the SQL search functions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from scenebook.db.engine import statement
from scenebook.db.values import vector_literal
from scenebook.model import Channel, Match


def search_scenes(
    tx: Connection,
    *,
    owner_id: UUID,
    channel: Channel,
    query: NDArray[np.float32],
    threshold: float,
    limit: int,
    space_id: int | None = None,
    video_id: UUID | None = None,
) -> list[Match]:
    """The owner's scenes nearest to a vector in one channel, most similar first.

    query: (dimensions of the space,), any norm but 0. threshold: least cosine similarity, -1 to 1.
    space_id: the space that the query was encoded in; None is the channel's active space.
    """
    rows = tx.execute(
        text(
            f"select * from public.search_scenes_by_{channel.value}_embedding("
            " query_embedding => cast(:query as public.vector), match_threshold => :threshold,"
            " match_count => :limit, filter_video_id => cast(:video_id as uuid),"
            " filter_user_id => cast(:owner_id as uuid),"
            " filter_space_id => cast(:space_id as integer))"
        ),
        {
            "query": vector_literal(query),
            "threshold": threshold,
            "limit": limit,
            "video_id": video_id,
            "owner_id": owner_id,
            "space_id": space_id,
        },
    )
    return [_match(row) for row in rows]


def find_similar_scenes(
    tx: Connection,
    *,
    owner_id: UUID,
    scene_id: UUID,
    channel: Channel,
    threshold: float,
    limit: int,
    space_id: int | None = None,
    video_id: UUID | None = None,
    other_videos_only: bool = False,
) -> list[Match]:
    """The owner's scenes most similar to one of them, without that one, most similar first.

    Of scenes with several vectors the best pair counts. [] if the owner has no such scene, or it
    has no vector in the space (None: the channel's active one).
    """
    rows = tx.execute(
        text(
            "select * from public.find_similar_scenes("
            " to_scene_id => cast(:scene_id as uuid), channel => :channel,"
            " match_threshold => :threshold, match_count => :limit,"
            " filter_video_id => cast(:video_id as uuid),"
            " filter_user_id => cast(:owner_id as uuid), other_videos_only => :other_videos_only,"
            " filter_space_id => cast(:space_id as integer))"
        ),
        {
            "scene_id": scene_id,
            "channel": channel,
            "threshold": threshold,
            "limit": limit,
            "video_id": video_id,
            "owner_id": owner_id,
            "other_videos_only": other_videos_only,
            "space_id": space_id,
        },
    )
    return [_match(row) for row in rows]


def has_vector(tx: Connection, *, owner_id: UUID, scene_id: UUID, space_id: int) -> bool:
    """Whether a scene of the owner has a vector in a space."""
    row = {"owner_id": owner_id, "scene_id": scene_id, "space_id": space_id}
    return bool(tx.execute(statement("search/has_vector"), row).scalar_one())


def _match(row: Row[Any]) -> Match:
    return Match(
        scene_id=row.scene_id,
        video_id=row.video_id,
        scene_index=row.scene_index,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        similarity=row.similarity,
        matched_ms=row.matched_ms,
    )

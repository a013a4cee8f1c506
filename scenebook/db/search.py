"""Typed functions for the SQL search functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    after: Match | None = None,
) -> list[Match]:
    """The owner's scenes nearest to a vector in one channel, most similar first.

    query: (dimensions of the space,), any norm but 0. threshold: least cosine similarity, -1 to 1.
    space_id: the space that the query was encoded in; None is the channel's active space.
    after: the last match of the page before; pages neither repeat nor lose a scene while others
    come and go.
    """
    rows = tx.execute(
        text(
            f"select * from public.search_scenes_by_{channel.value}_embedding("
            " query_embedding => cast(:query as public.vector), match_threshold => :threshold,"
            " match_count => :limit, filter_video_id => cast(:video_id as uuid),"
            " filter_user_id => cast(:owner_id as uuid),"
            " filter_space_id => cast(:space_id as integer),"
            " after_similarity => cast(:after_similarity as double precision),"
            " after_scene_id => cast(:after_scene_id as uuid))"
        ),
        {
            "query": vector_literal(query),
            "threshold": threshold,
            "limit": limit,
            "video_id": video_id,
            "owner_id": owner_id,
            "space_id": space_id,
        }
        | _key(after),
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
    after: Match | None = None,
) -> list[Match]:
    """The owner's scenes most similar to one of them, without that one, most similar first.

    Of scenes with several vectors the best pair counts. [] if the owner has no such scene, or it
    has no vector in the space (None: the channel's active one). after: as in `search_scenes`.
    """
    rows = tx.execute(
        text(
            "select * from public.find_similar_scenes("
            " to_scene_id => cast(:scene_id as uuid), channel => :channel,"
            " match_threshold => :threshold, match_count => :limit,"
            " filter_video_id => cast(:video_id as uuid),"
            " filter_user_id => cast(:owner_id as uuid), other_videos_only => :other_videos_only,"
            " filter_space_id => cast(:space_id as integer),"
            " after_similarity => cast(:after_similarity as double precision),"
            " after_scene_id => cast(:after_scene_id as uuid))"
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
        }
        | _key(after),
    )
    return [_match(row) for row in rows]


@dataclass(frozen=True, slots=True)
class SceneScore:
    """How similar one scene is to a query, -1 to 1, by its best vector."""

    scene_id: UUID
    similarity: float
    matched_ms: int | None


def batch_score_scenes_clip(
    tx: Connection,
    *,
    owner_id: UUID,
    query: NDArray[np.float32],
    scene_ids: Sequence[UUID],
    space_id: int | None = None,
) -> list[SceneScore]:
    """Scores of at most 1000 scenes against a CLIP vector, most similar first.

    query: (dimensions of the space,), any norm but 0. Scenes without a vector in the space, and
    such as are not the owner's, are left out.
    """
    rows = tx.execute(
        statement("search/batch_score_scenes_clip"),
        {
            "query": vector_literal(query),
            "scene_ids": list(scene_ids),
            "owner_id": owner_id,
            "space_id": space_id,
        },
    )
    return [SceneScore(row.scene_id, row.similarity, row.matched_ms) for row in rows]


def has_vector(tx: Connection, *, owner_id: UUID, scene_id: UUID, space_id: int) -> bool:
    """Whether a scene of the owner has a vector in a space."""
    row = {"owner_id": owner_id, "scene_id": scene_id, "space_id": space_id}
    return bool(tx.execute(statement("search/has_vector"), row).scalar_one())


def _key(after: Match | None) -> dict[str, Any]:
    return {
        "after_similarity": None if after is None else after.similarity,
        "after_scene_id": None if after is None else after.scene_id,
    }


def _match(row: Row[Any]) -> Match:
    return Match(
        scene_id=row.scene_id,
        video_id=row.video_id,
        scene_index=row.scene_index,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        similarity=row.similarity,
        matched_ms=row.matched_ms,
        exact=row.exact,
    )

"""One typed function for the SQL search functions."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

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
    return [
        Match(
            scene_id=row.scene_id,
            video_id=row.video_id,
            scene_index=row.scene_index,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            similarity=row.similarity,
            matched_ms=row.matched_ms,
        )
        for row in rows
    ]

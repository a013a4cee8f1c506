"""Scenes that could have a vector in a space and have none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.space_changes import OF_MODEL
from scenebook.model import Channel, ChannelStatus


@dataclass(frozen=True, slots=True)
class Lacking:
    """One such scene, and its place in the order in which they are found."""

    id: UUID
    video_id: UUID
    generation: int
    scene_index: int


def scenes_lacking(
    tx: Connection,
    *,
    owner_id: UUID,
    channel: Channel,
    space_id: int | None,
    is_active: bool,
    statuses: Collection[ChannelStatus],
    video_id: UUID | None,
    after: Lacking | None,
    most: int,
) -> list[Lacking]:
    """The owner's next scenes without a vector: never tried, or ended in one of `statuses`.

    In a space that is not active, a scene counts once a model has said something of it in the
    active one, or if it is still found there: before that it waits for its own job.
    """
    rows = tx.execute(
        statement("spaces/lacking"),
        {
            "owner_id": owner_id,
            "channel": channel,
            "space_id": space_id,
            "active": is_active,
            "wanted": [status.value for status in statuses],
            "of_model": [status.value for status in OF_MODEL],
            "video_id": video_id,
            "after_video": None if after is None else after.video_id,
            "after_generation": None if after is None else after.generation,
            "after_index": None if after is None else after.scene_index,
            "most": most,
        },
    )
    return [Lacking(**row._asdict()) for row in rows]

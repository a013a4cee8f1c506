"""Rows of `videos` whose source is on its way: signs of life, and what nobody goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A video whose source never came whole, and whose it is."""

    owner_id: UUID
    video_id: UUID


def still_arriving(tx: Connection, *, owner_id: UUID, video_id: UUID) -> bool:
    """Say that its sender is still there; False if the video is gone, or will be soon."""
    row = tx.execute(
        statement("videos/still_arriving"), {"owner_id": owner_id, "video_id": video_id}
    ).one_or_none()
    return row is not None


def abandoned(tx: Connection, *, older_s: float, limit: int) -> list[Abandoned]:
    """Videos of all owners without a sign of life for so long; only the relay's role sees them."""
    rows = tx.execute(statement("tidying/abandoned_videos"), {"older_s": older_s, "limit": limit})
    return [Abandoned(row.owner_id, row.id) for row in rows]


def give_up(tx: Connection, one: Abandoned, *, older_s: float) -> bool:
    """Hide one of them; False if somebody went on with it meanwhile."""
    row = tx.execute(
        statement("tidying/give_up_video"),
        {"owner_id": one.owner_id, "video_id": one.video_id, "older_s": older_s},
    ).one_or_none()
    return row is not None

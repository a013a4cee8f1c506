"""What is recorded of scenes: the status of a channel, and the sidecar's account of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import clean_error, to_json
from scenebook.model import ChannelState


def lock(tx: Connection, *, owner_id: UUID, scene_ids: Sequence[UUID]) -> set[UUID]:
    """Hold these scenes until the transaction ends; those that still exist."""
    rows = tx.execute(statement("scenes/lock"), {"owner_id": owner_id, "ids": list(scene_ids)})
    return {row.id for row in rows}


def set_states(
    tx: Connection, states: Iterable[tuple[UUID, ChannelState]], *, owner_id: UUID
) -> None:
    """Store the status of one channel for each of these scenes, and leave their vectors."""
    values = [
        {
            "owner_id": owner_id,
            "scene_id": scene_id,
            "channel": state.channel,
            "status": state.status,
            "error": clean_error(state.error),
            "metadata": to_json(state.metadata),
        }
        for scene_id, state in states
    ]
    if values:
        tx.execute(statement("scenes/set_channel"), values)


def refresh_sidecars(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Bring the channels in the sidecars of one generation in line with their statuses."""
    tx.execute(
        statement("scenes/refresh_sidecars"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )

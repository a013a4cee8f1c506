"""Which space of a channel is active: the rows that an activation, and a drop, move and remove."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.spaces import StoredSpace
from scenebook.model import Channel, ChannelStatus

# What a model made of a scene; any other status is about the scene, and the same in every space.
OF_MODEL = (
    ChannelStatus.OK,
    ChannelStatus.NO_FRAME,
    ChannelStatus.LOAD_ERROR,
    ChannelStatus.DECODE_ERROR,
    ChannelStatus.TIMEOUT,
    ChannelStatus.CIRCUIT_OPEN,
    ChannelStatus.ERROR,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Scenes with vectors in a space, and those found in the active space that have none there.

    `missing` have no reason either; `failed` have one.
    """

    embedded: int = 0
    missing: int = 0
    failed: int = 0

    def __add__(self, other: Standing) -> Standing:
        return Standing(
            self.embedded + other.embedded,
            self.missing + other.missing,
            self.failed + other.failed,
        )


def standing(tx: Connection, *, owner_id: UUID, stored: StoredSpace) -> Standing:
    """How the owner's scenes stand in a space."""
    row = tx.execute(
        statement("spaces/standing"),
        {"owner_id": owner_id, "channel": stored.space.channel, "space_id": stored.id},
    ).one()
    return Standing(row.embedded, row.missing, row.failed)


def swap_states(
    tx: Connection,
    *,
    owner_id: UUID,
    channel: Channel,
    old_id: int | None,
    new_id: int,
    why_missing: str,
) -> None:
    """Put the statuses of the owner's scenes where they belong once new_id is active."""
    which = {
        "owner_id": owner_id,
        "channel": channel,
        "of_model": [status.value for status in OF_MODEL],
    }
    if old_id is not None:
        tx.execute(statement("spaces/put_aside"), which | {"space_id": old_id})
    tx.execute(statement("spaces/take_over"), which | {"space_id": new_id})
    tx.execute(statement("spaces/say_missing"), which | {"space_id": new_id, "why": why_missing})
    tx.execute(statement("spaces/remove_states"), {"owner_id": owner_id, "space_id": new_id})


def switch(tx: Connection, *, old_id: int | None, new_id: int) -> None:
    """Make one space the active one of its channel and retire the other."""
    if old_id is not None:
        tx.execute(statement("spaces/retire"), {"id": old_id})
    tx.execute(statement("spaces/activate"), {"id": new_id})


def remove_some(tx: Connection, *, owner_id: UUID, space_id: int, most: int) -> int:
    """Remove vectors of at most this many of the owner's scenes in a space; how many vectors."""
    removed = tx.execute(
        statement("spaces/remove_some_vectors"),
        {"owner_id": owner_id, "space_id": space_id, "most": most},
    )
    return removed.rowcount


def remove(tx: Connection, *, space_id: int) -> bool:
    """Remove a space that is not active, and what is recorded in it; its vectors must be gone."""
    return tx.execute(statement("spaces/remove"), {"id": space_id}).rowcount > 0

"""Rows of `embedding_spaces` and `scene_embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import halfvec
from scenebook.model import Channel, EmbeddingSpace


@dataclass(frozen=True, slots=True)
class SceneVector:
    """One vector of a scene: float32, norm 1, as long as its space says."""

    scene_id: UUID
    ordinal: int
    vector: NDArray[np.float32]
    at_ms: int | None = None


def open_space(tx: Connection, space: EmbeddingSpace) -> int:
    """The id of this space; the first of a channel becomes the active one."""
    found = find_space(tx, space)
    if found is None:
        tx.execute(statement("spaces/add"), asdict(space))
        found = find_space(tx, space)
    if found is None:
        raise LookupError(f"space {space} was not stored")
    return found


def find_space(tx: Connection, space: EmbeddingSpace) -> int | None:
    """The id of this space, or None if nothing was ever embedded in it."""
    row = tx.execute(statement("spaces/find"), asdict(space)).one_or_none()
    return None if row is None else int(row.id)


def count_elsewhere(
    tx: Connection, *, owner_id: UUID, channel: Channel, space_id: int | None
) -> int:
    """How many of the owner's scenes have vectors in this channel, but none in this space."""
    return int(
        tx.execute(
            statement("spaces/count_elsewhere"),
            {"owner_id": owner_id, "channel": channel, "space_id": space_id},
        ).scalar_one()
    )


def replace_vectors(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    space_id: int,
    scene_ids: Sequence[UUID],
    vectors: Sequence[SceneVector],
) -> None:
    """Write the vectors of these scenes in one space anew."""
    tx.execute(
        statement("spaces/remove_vectors"),
        {"space_id": space_id, "owner_id": owner_id, "ids": list(scene_ids)},
    )
    if vectors:
        tx.execute(
            statement("spaces/add_vector"),
            [
                {
                    "space_id": space_id,
                    "owner_id": owner_id,
                    "video_id": video_id,
                    "scene_id": one.scene_id,
                    "generation": generation,
                    "ordinal": one.ordinal,
                    "at_ms": one.at_ms,
                    "embedding": halfvec(one.vector),
                }
                for one in vectors
            ],
        )


def forget_vectors(
    tx: Connection, *, owner_id: UUID, channel: Channel, scene_ids: Sequence[UUID]
) -> None:
    """Remove the vectors of these scenes in a channel: nothing may be found by what is gone."""
    if scene_ids:
        tx.execute(
            statement("spaces/forget_vectors"),
            {"owner_id": owner_id, "channel": channel, "ids": list(scene_ids)},
        )

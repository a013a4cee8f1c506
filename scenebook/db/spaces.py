"""Rows of `embedding_spaces`, and the vectors and statuses of scenes in each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import Connection, Row

from scenebook.db.engine import statement
from scenebook.db.values import clean_error, halfvec, to_json
from scenebook.model import Channel, ChannelState, EmbeddingSpace


@dataclass(frozen=True, slots=True)
class StoredSpace:
    """An embedding space as it is stored; `source` is what loads its model (scenebook.sources)."""

    id: int
    space: EmbeddingSpace
    status: str
    source: Mapping[str, str]
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Whether searches ask this space."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class SceneVector:
    """One vector of a scene: float32, norm 1, as long as its space says."""

    scene_id: UUID
    ordinal: int
    vector: NDArray[np.float32]
    at_ms: int | None = None


def hold(tx: Connection, channel: Channel) -> None:
    """Keep the channel's active space what it is until the transaction ends; for writers."""
    tx.execute(statement("spaces/hold"), {"channel": channel})


def hold_alone(tx: Connection, channel: Channel) -> None:
    """Wait until nobody writes vectors of this channel, and keep all out; to change spaces."""
    tx.execute(statement("spaces/hold_alone"), {"channel": channel})


def open_space(
    tx: Connection, space: EmbeddingSpace, source: Mapping[str, str] | None = None
) -> int:
    """The id of this space; the first of a channel becomes the active one.

    A source other than the stored one replaces it: a checkpoint may lie elsewhere by now.
    """
    found = _find(tx, space)
    if found is None:
        hold_alone(tx, space.channel)  # two first spaces at once, and one would be refused
        tx.execute(statement("spaces/add"), asdict(space) | {"source": to_json(source or {})})
        found = _find(tx, space)
    if found is None:
        raise LookupError(f"space {space} was not stored")
    if source and source != found.source:
        tx.execute(statement("spaces/set_source"), {"id": found.id, "source": to_json(source)})
    return found.id


def find_space(tx: Connection, space: EmbeddingSpace) -> int | None:
    """The id of this space, or None if nothing was ever embedded in it."""
    found = _find(tx, space)
    return None if found is None else found.id


def active_space(tx: Connection, channel: Channel) -> StoredSpace | None:
    """The space that searches of a channel ask; None if nothing was ever embedded in it."""
    active = [one for one in all_spaces(tx, channel) if one.is_active]
    return active[0] if active else None


def all_spaces(tx: Connection, channel: Channel | None = None) -> list[StoredSpace]:
    """Every space, or those of one channel, in the order in which they were opened."""
    rows = tx.execute(statement("spaces/select"), {"channel": channel, "id": None})
    return [_stored(row) for row in rows]


def get_space(tx: Connection, space_id: int) -> StoredSpace | None:
    """One space by its id."""
    row = tx.execute(statement("spaces/select"), {"channel": None, "id": space_id}).one_or_none()
    return None if row is None else _stored(row)


def _find(tx: Connection, space: EmbeddingSpace) -> StoredSpace | None:
    row = tx.execute(statement("spaces/find"), asdict(space)).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredSpace:
    return StoredSpace(
        id=row.id,
        space=EmbeddingSpace(
            Channel(row.channel), row.model, row.weights, row.revision, row.dimensions
        ),
        status=row.status,
        source=row.source,
        created_at=row.created_at,
        activated_at=row.activated_at,
        retired_at=row.retired_at,
        calibration=row.calibration,
    )


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


def known_vectors(
    tx: Connection,
    *,
    owner_id: UUID,
    space_id: int,
    image_hashes: Sequence[str],
    asking: Sequence[UUID],
) -> dict[str, NDArray[np.float32]]:
    """Vectors of this space that other scenes of the owner have for pictures with these hashes."""
    rows = tx.execute(
        statement("spaces/known_vectors"),
        {
            "owner_id": owner_id,
            "space_id": space_id,
            "hashes": list(image_hashes),
            "asking": list(asking),
        },
    )
    return {
        row.image_hash: np.asarray(HalfVector.from_text(row.embedding).to_numpy(), np.float32)
        for row in rows
    }


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


def set_states(
    tx: Connection, states: Mapping[UUID, ChannelState], *, owner_id: UUID, space_id: int
) -> None:
    """Store the status of these scenes in a space that is not active."""
    if states:
        tx.execute(
            statement("spaces/set_state"),
            [
                {
                    "space_id": space_id,
                    "owner_id": owner_id,
                    "scene_id": scene_id,
                    "status": state.status,
                    "error": clean_error(state.error),
                    "metadata": to_json(state.metadata),
                }
                for scene_id, state in states.items()
            ],
        )


def forget_vectors(
    tx: Connection,
    *,
    owner_id: UUID,
    channel: Channel,
    scene_ids: Sequence[UUID],
    except_in: Sequence[int] = (),
) -> None:
    """Remove what these scenes have in a channel: nothing may be found by what is gone.

    except_in names spaces that keep their vectors and statuses.
    """
    if scene_ids:
        which = {
            "owner_id": owner_id,
            "channel": channel,
            "ids": list(scene_ids),
            "except_in": list(except_in),
        }
        tx.execute(statement("spaces/forget_vectors"), which)
        tx.execute(statement("spaces/forget_states"), which)

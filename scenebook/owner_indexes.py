"""Indexes that only one big owner's searches use: built, dropped and advised by the operator."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import text

from scenebook.db import owner_indexes as rows
from scenebook.db import spaces
from scenebook.db.engine import become
from scenebook.db.owner_indexes import Vectors
from scenebook.db.spaces import StoredSpace
from scenebook.errors import ConfigurationError
from scenebook.model import Channel
from scenebook.spaces import Operator

log = structlog.get_logger(__name__)

# Up to about here searching all vectors of an owner takes less than 60 ms.
ADVISABLE_ABOVE = 50_000


@dataclass(frozen=True, slots=True)
class OwnerReport:
    """An owner in a space where it has an index of its own, or should have one."""

    stored: StoredSpace
    vectors: Vectors

    @property
    def is_advisable(self) -> bool:
        """Whether the owner has more vectors than a search should compare one by one."""
        return self.vectors.count > ADVISABLE_ABOVE


def list_owners(operator: Operator, channel: Channel | None = None) -> list[OwnerReport]:
    """Owners that have an index of their own or should have one, by space."""
    everyone = operator.owner_ids()
    reports = []
    with operator.db.across_owners() as tx:
        for stored in spaces.all_spaces(tx, channel):
            for owner_id in everyone:
                become(tx, owner_id=owner_id)
                vectors = rows.vectors_of(tx, owner_id=owner_id, space_id=stored.id)
                reports.append(OwnerReport(stored, vectors))
    return [one for one in reports if one.vectors.has_index or one.is_advisable]


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index that stands now, of how many vectors, and how long it took."""

    vectors: int
    seconds: float


def build(operator: Operator, url: str, *, owner_id: UUID, stored: StoredSpace) -> BuiltIndex:
    """Build the owner's index in a space anew, beside readers and writers.

    url: of a login that owns the tables. Raises ConfigurationError if it does not, or if the index
    came out invalid; searches go on without it then.
    """
    with operator.db.transaction(owner_id=owner_id) as tx:
        count = rows.vectors_of(tx, owner_id=owner_id, space_id=stored.id).count
    began = time.monotonic()
    with rows.changing_indexes(url) as changing:
        rows.build(
            changing,
            owner_id=owner_id,
            space_id=stored.id,
            dimensions=stored.space.dimensions,
            vectors=count,
        )
        if not rows.is_valid(changing, owner_id=owner_id, space_id=stored.id):
            raise ConfigurationError(
                "The index is there but not valid; searches do without. Run the command again."
            )
        changing.execute(text("analyze public.scene_embeddings"))
    seconds = time.monotonic() - began
    log.info("owner_index_built", owner_id=str(owner_id), space_id=stored.id, vectors=count)
    return BuiltIndex(count, seconds)


def drop(operator: Operator, url: str, *, stored: StoredSpace, owner_id: UUID | None = None) -> int:
    """Drop the owner's index in a space, or without an owner all of them; returns how many.

    Searches compare every vector from then on. url: as for `build`; not needed if there is none.
    """
    with operator.db.across_owners() as tx:
        there = rows.names(tx, space_id=stored.id)
    if owner_id is not None:
        there = [name for name in there if name == rows.index_name(stored.id, owner_id)]
    if there:
        with rows.changing_indexes(url) as changing:
            for name in there:
                rows.drop(changing, name)
    return len(there)

"""Removal of rows that have served their time, of all owners; only the relay's role may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement

Expiring = Literal["idempotency_keys", "searches", "webhook_deliveries"]


@dataclass(frozen=True, slots=True)
class IndexedAnew:
    """A video, and the generation that readers see since then."""

    owner_id: UUID
    video_id: UUID
    generation: int


def remove_older(tx: Connection, what: Expiring, *, older_s: float, limit: int) -> int:
    """Remove at most `limit` rows that are over for more than `older_s` seconds; how many."""
    done = tx.execute(statement(f"tidying/{what}"), {"older_s": older_s, "limit": limit})
    return int(done.rowcount)


def indexed_anew(tx: Connection, *, within_s: float) -> list[IndexedAnew]:
    """The videos of which a later generation than the first was finished lately."""
    rows = tx.execute(statement("tidying/indexed_anew"), {"within_s": within_s})
    return [IndexedAnew(row.owner_id, row.video_id, row.generation) for row in rows]

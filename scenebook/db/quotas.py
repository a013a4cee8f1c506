"""What an owner may have, and has; read while nobody else can add to it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What the owner's row says; None: nothing."""

    max_bytes: int | None
    max_videos: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and videos that count: also those of resumable uploads that have begun."""

    bytes: int
    videos: int


def lock(tx: Connection, *, owner_id: UUID) -> OwnLimits:
    """The owner's limits; until the transaction ends nobody else adds anything."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    row = tx.execute(statement("quotas/lock"), {"owner_id": owner_id}).one()
    return OwnLimits(row.max_bytes, row.max_videos)


def usage(tx: Connection, *, owner_id: UUID) -> Usage:
    """What the owner has now."""
    row = tx.execute(statement("quotas/usage"), {"owner_id": owner_id}).one()
    return Usage(int(row.bytes), int(row.videos))

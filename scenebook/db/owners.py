"""Rows of `owners`."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement


def clip_enabled(tx: Connection, *, owner_id: UUID, default: bool) -> bool:
    """Whether this owner's scenes get a CLIP vector; `default` unless the owner's row decides."""
    row = tx.execute(statement("owners/clip_enabled"), {"owner_id": owner_id}).one_or_none()
    return default if row is None or row.clip_enabled is None else bool(row.clip_enabled)


def is_disabled(tx: Connection, *, owner_id: UUID) -> bool:
    """Whether this owner may do nothing at present; one without a row may."""
    row = tx.execute(statement("owners/disabled"), {"owner_id": owner_id}).one_or_none()
    return row is not None and bool(row.disabled)


def everyone(tx: Connection) -> list[UUID]:
    """Every owner's id; only the relay's role sees them all."""
    return [row.id for row in tx.execute(statement("owners/everyone"))]

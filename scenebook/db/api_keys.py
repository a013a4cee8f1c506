"""Rows of `api_keys`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.errors import NotFound


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; its secret is known to whoever made it only."""

    id: UUID
    owner_id: UUID
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    expired: bool


def presented(tx: Connection, *, secret_hash: str) -> ApiKey | None:
    """The key with this hash, whoever's it is; the rest of the transaction sees that row too."""
    tx.execute(statement("api_keys/present"), {"secret_hash": secret_hash})
    row = tx.execute(statement("api_keys/presented"), {"secret_hash": secret_hash}).one_or_none()
    return None if row is None else _key(row)


def add(
    tx: Connection,
    *,
    owner_id: UUID,
    name: str,
    prefix: str,
    secret_hash: str,
    scopes: Collection[str],
    expires_days: int | None,
) -> ApiKey:
    """Add a key, and the owner if there was none."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    values = {
        "owner_id": owner_id,
        "name": name,
        "prefix": prefix,
        "secret_hash": secret_hash,
        "scopes": sorted(scopes),
        "expires_days": expires_days,
    }
    return _key(tx.execute(statement("api_keys/add"), values).one())


def usable(tx: Connection, *, owner_id: UUID) -> int:
    """How many keys of the owner still work."""
    row = tx.execute(statement("api_keys/usable"), {"owner_id": owner_id}).one()
    return int(row.usable)


def all_of(tx: Connection, *, owner_id: UUID, at_most: int) -> list[ApiKey]:
    """The owner's keys, newest first, also those that no longer work."""
    rows = tx.execute(statement("api_keys/all"), {"owner_id": owner_id, "at_most": at_most})
    return [_key(row) for row in rows]


def revoke(tx: Connection, *, owner_id: UUID, key_id: UUID) -> ApiKey:
    """End a key for good. Raises NotFound."""
    row = tx.execute(
        statement("api_keys/revoke"), {"owner_id": owner_id, "id": key_id}
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no API key {key_id}. `scenebook keys list` lists yours.")
    return _key(row)


def used(tx: Connection, *, owner_id: UUID, key_id: UUID) -> None:
    """Note that a key is in use."""
    tx.execute(statement("api_keys/used"), {"owner_id": owner_id, "id": key_id})


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        owner_id=row.owner_id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        expired=row.expired,
    )

"""Rows of `idempotency_keys`, always of one owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import to_json


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a key; `status` is None while its first request runs."""

    request_hash: str
    status: int | None
    response: dict[str, Any] | None


def claim(
    tx: Connection, *, owner_id: UUID, key: str, request_hash: str, lock_s: float, ttl_s: float
) -> datetime | None:
    """Take a key that nobody uses; the end of the lock is also its token. None: it is in use."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    row = tx.execute(
        statement("idempotency/claim"),
        {
            "owner_id": owner_id,
            "key": key,
            "request_hash": request_hash,
            "lock_s": lock_s,
            "ttl_s": ttl_s,
        },
    ).one_or_none()
    return None if row is None else row.locked_until


def get(tx: Connection, *, owner_id: UUID, key: str) -> Remembered | None:
    """What is known of a key."""
    row = tx.execute(statement("idempotency/get"), {"owner_id": owner_id, "key": key}).one_or_none()
    return None if row is None else Remembered(row.request_hash, row.status, row.response)


def finish(
    tx: Connection,
    *,
    owner_id: UUID,
    key: str,
    locked_until: datetime,
    status: int,
    response: dict[str, Any],
) -> None:
    """Keep the answer, unless the lock ran out and somebody else holds it."""
    tx.execute(
        statement("idempotency/finish"),
        {
            "owner_id": owner_id,
            "key": key,
            "locked_until": locked_until,
            "status": status,
            "response": to_json(response),
        },
    )


def release(tx: Connection, *, owner_id: UUID, key: str, locked_until: datetime) -> None:
    """Forget a request that did not succeed; it may be sent again."""
    tx.execute(
        statement("idempotency/release"),
        {"owner_id": owner_id, "key": key, "locked_until": locked_until},
    )

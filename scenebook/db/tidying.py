"""Removal of rows that have served their time, of all owners; only the relay's role may."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection

from scenebook.db.engine import statement

Expiring = Literal["idempotency_keys", "searches", "webhook_deliveries"]


def remove_older(tx: Connection, what: Expiring, *, older_s: float, limit: int) -> int:
    """Remove at most `limit` rows that are over for more than `older_s` seconds; how many."""
    done = tx.execute(statement(f"tidying/{what}"), {"older_s": older_s, "limit": limit})
    return int(done.rowcount)

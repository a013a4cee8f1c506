"""Rows of `paid_calls`: answers of paid models, so that a re-run does not pay twice."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from scenebook.db.engine import Database, statement
from scenebook.db.values import to_json

# What was paid for.
PaidKind = Literal["description", "embedding", "transcription"]


class PaidCallsOf:
    """One owner's answers by key; another owner's are never used, nor can they be noticed."""

    def __init__(self, db: Database, *, owner_id: UUID) -> None:
        self._db = db
        self._owner_id = owner_id

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer stored under a key."""
        with self._db.transaction(owner_id=self._owner_id) as tx:
            row = tx.execute(
                statement("paid_calls/get"), {"owner_id": self._owner_id, "key": key}
            ).one_or_none()
        return None if row is None else dict(row.response)

    def put(self, key: str, value: dict[str, Any], *, kind: PaidKind) -> None:
        """Store an answer; the first one stays. Who only searches may have no row yet."""
        with self._db.transaction(owner_id=self._owner_id) as tx:
            tx.execute(statement("videos/add_owner"), {"owner_id": self._owner_id})
            tx.execute(
                statement("paid_calls/put"),
                {
                    "owner_id": self._owner_id,
                    "key": key,
                    "response": to_json(value),
                    "kind": kind,
                },
            )

    def today(self, kind: PaidKind) -> int:
        """How many calls of a kind the owner paid for in the last 24 hours.

        Cached answers were paid for earlier; rows without a kind, of older versions, do not count.
        """
        with self._db.transaction(owner_id=self._owner_id) as tx:
            return int(
                tx.execute(
                    statement("paid_calls/count_today"), {"owner_id": self._owner_id, "kind": kind}
                ).scalar_one()
            )

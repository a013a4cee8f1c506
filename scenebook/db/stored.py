"""Which objects in storage an owner's rows name, to compare the two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.model import VideoStatus


@dataclass(frozen=True, slots=True)
class Named:
    """A video's objects as its rows name them; `busy` while somebody may be changing them."""

    busy: bool
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Needed:
    """A settled video and the objects that it needs: its source, words, sound and pictures."""

    id: UUID
    title: str
    status: VideoStatus
    generation: int
    failed_stage: str | None
    reason: str | None
    source_key: str
    transcript_key: str | None
    audio_key: str | None
    image_keys: tuple[str, ...]


def named(tx: Connection, *, owner_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Named]:
    """The videos among these ids that there are."""
    rows = tx.execute(statement("reconcile/known"), {"owner_id": owner_id, "ids": list(ids)})
    return {row.id: Named(row.busy, frozenset(row.keys)) for row in rows}


def open_uploads(tx: Connection, *, owner_id: UUID, ids: Iterable[UUID]) -> set[UUID]:
    """The uploads among these ids of which something is still to arrive or to be joined."""
    rows = tx.execute(statement("reconcile/open_uploads"), {"owner_id": owner_id, "ids": list(ids)})
    return {row.id for row in rows}


def settled(tx: Connection, *, owner_id: UUID, after: UUID, limit: int) -> list[Needed]:
    """The owner's `ready` and `partial` videos with nothing to be done, in the order of ids."""
    rows = tx.execute(
        statement("reconcile/videos"), {"owner_id": owner_id, "after": after, "limit": limit}
    )
    return [
        Needed(
            **(
                row._asdict()
                | {"status": VideoStatus(row.status), "image_keys": tuple(row.image_keys)}
            )
        )
        for row in rows
    ]

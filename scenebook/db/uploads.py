"""Rows of `uploads`: how far each resumable upload is, always of one owner but for tidying."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from scenebook.db.engine import statement
from scenebook.db.values import to_json
from scenebook.errors import NotFound


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable upload: bytes in all and received so far, and its video once it is complete."""

    id: UUID
    owner_id: UUID
    bytes: int
    received: int
    metadata: dict[str, Any]
    video_id: UUID | None
    expires_at: datetime
    expired: bool


def _upload(row: Row[Any]) -> Upload:
    return Upload(**row._asdict())


def add(
    tx: Connection, *, owner_id: UUID, size: int, metadata: dict[str, Any], ttl_s: float
) -> Upload:
    """A new upload, of which nothing has arrived."""
    row = tx.execute(
        statement("uploads/add"),
        {"owner_id": owner_id, "bytes": size, "metadata": to_json(metadata), "ttl_s": ttl_s},
    )
    return _upload(row.one())


def get(tx: Connection, *, owner_id: UUID, upload_id: UUID, lock: bool = False) -> Upload:
    """One upload, locked until the transaction ends if asked for. Raises NotFound."""
    row = tx.execute(
        statement("uploads/lock" if lock else "uploads/get"),
        {"owner_id": owner_id, "id": upload_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no upload {upload_id}.")
    return _upload(row)


def take_over(
    tx: Connection, *, owner_id: UUID, upload_id: UUID, offset: int, ttl_s: float
) -> int | None:
    """Become the one who writes from here; None if this is not where the upload stands."""
    row = tx.execute(
        statement("uploads/take_over"),
        {"owner_id": owner_id, "id": upload_id, "offset": offset, "ttl_s": ttl_s},
    ).one_or_none()
    return None if row is None else int(row.writer)


def advance(
    tx: Connection,
    *,
    owner_id: UUID,
    upload_id: UUID,
    writer: int,
    offset: int,
    size: int,
    ttl_s: float,
) -> bool:
    """Count a stored part; False if another writer has taken over."""
    row = tx.execute(
        statement("uploads/advance"),
        {
            "owner_id": owner_id,
            "id": upload_id,
            "writer": writer,
            "offset": offset,
            "bytes": size,
            "ttl_s": ttl_s,
        },
    ).one_or_none()
    return row is not None


def complete(tx: Connection, *, owner_id: UUID, upload_id: UUID, video_id: UUID) -> None:
    """The parts have become a video."""
    tx.execute(
        statement("uploads/complete"),
        {"owner_id": owner_id, "id": upload_id, "video_id": video_id},
    )


def remove(tx: Connection, *, owner_id: UUID, upload_id: UUID) -> None:
    """Forget an upload."""
    tx.execute(statement("uploads/delete"), {"owner_id": owner_id, "id": upload_id})


def expired(tx: Connection, *, limit: int) -> list[Upload]:
    """Uploads of all owners that ended some time ago; only the relay's role sees them."""
    return [_upload(row) for row in tx.execute(statement("uploads/expired"), {"limit": limit})]

"""Rows of `videos`, always of one owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import MAX_ERROR, clean_text, to_json
from scenebook.errors import NotFound
from scenebook.model import Stage, Video, VideoStatus


def add(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    title: str,
    source_key: str,
    content_hash: str,
    size: int,
) -> bool:
    """Add a video that is being uploaded; False if the owner has these bytes already."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    row = tx.execute(
        statement("videos/add"),
        {
            "id": video_id,
            "owner_id": owner_id,
            "title": clean_text(title, limit=MAX_ERROR) or "untitled",
            "source_key": source_key,
            "content_hash": content_hash,
            "bytes": size,
        },
    )
    return row.one_or_none() is not None


def uploaded(tx: Connection, *, owner_id: UUID, video_id: UUID, transcript_key: str | None) -> bool:
    """Mark the source, and its transcript file, as stored; False if they were marked before."""
    row = tx.execute(
        statement("videos/uploaded"),
        {"owner_id": owner_id, "video_id": video_id, "transcript_key": transcript_key},
    ).one_or_none()
    return row is not None


def get(tx: Connection, *, owner_id: UUID, video_id: UUID) -> Video:
    """One video; NotFound if this owner has none with this id."""
    found = _select(tx, owner_id=owner_id, video_id=video_id)
    if not found:
        raise NotFound(f"There is no video {video_id}. `scenebook status` lists yours.")
    return found[0]


def all_of(tx: Connection, *, owner_id: UUID) -> list[Video]:
    """Every video of the owner, newest first."""
    return _select(tx, owner_id=owner_id)


def titles(tx: Connection, *, owner_id: UUID, video_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The titles of the owner's videos among these, without those that are being deleted."""
    rows = tx.execute(statement("videos/titles"), {"owner_id": owner_id, "ids": list(video_ids)})
    return {row.id: row.title for row in rows}


def with_hash(tx: Connection, *, owner_id: UUID, content_hash: str) -> Video | None:
    """The owner's video with these bytes, unless it is being deleted."""
    found = _select(tx, owner_id=owner_id, content_hash=content_hash)
    return found[0] if found else None


def _select(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID | None = None,
    content_hash: str | None = None,
) -> list[Video]:
    rows = tx.execute(
        statement("videos/select"),
        {"owner_id": owner_id, "video_id": video_id, "content_hash": content_hash},
    )
    return [_video(row._asdict()) for row in rows]


def _video(row: dict[str, Any]) -> Video:
    return Video(**(row | {"status": VideoStatus(row["status"])}))


def set_status(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    status: VideoStatus,
    failed_stage: Stage | None = None,
    reason: str | None = None,
) -> None:
    """Change what the owner sees; a video that is being deleted stays so."""
    tx.execute(
        statement("videos/set_status"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "status": status,
            "failed_stage": failed_stage,
            "reason": reason,
        },
    )


def started(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """The first job of a waiting video runs."""
    tx.execute(statement("videos/started"), {"owner_id": owner_id, "video_id": video_id})


def fail(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int, stage: Stage, reason: str
) -> None:
    """Nothing of this generation can be searched."""
    tx.execute(
        statement("videos/fail"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "stage": stage,
            "reason": clean_text(reason),
        },
    )


def set_media(tx: Connection, *, owner_id: UUID, video_id: UUID, columns: dict[str, Any]) -> None:
    """Store what probing found: the columns of `sql/videos/set_media.sql`."""
    values = columns | {"metadata": to_json(columns["metadata"])}
    tx.execute(statement("videos/set_media"), {"owner_id": owner_id, "video_id": video_id} | values)


def segmented(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    decoded_ms: int,
    duration_ms: int | None,
    damage: str | None,
    audio_key: str | None,
    audio_silent: bool,
) -> None:
    """Store what segmentation found."""
    tx.execute(
        statement("videos/segmented"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "decoded_ms": decoded_ms,
            "duration_ms": duration_ms,
            "damage": damage and clean_text(damage),
            "audio_key": audio_key,
            "audio_silent": audio_silent,
        },
    )


def finish(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    status: VideoStatus,
    reason: str | None,
) -> None:
    """Show readers this generation."""
    tx.execute(
        statement("videos/finish"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "status": status,
            "reason": reason and clean_text(reason),
        },
    )


def on_channels(tx: Connection, *, owner_id: UUID) -> list[UUID]:
    """The owner's videos whose status says how their channels stand: `ready` and `partial`."""
    rows = tx.execute(statement("videos/on_channels"), {"owner_id": owner_id})
    return [row.id for row in rows]


def newest_generation(tx: Connection, *, owner_id: UUID, video_id: UUID) -> int:
    """The generation that is being built, or was built last; 0 before the first."""
    return int(
        tx.execute(
            statement("videos/newest_generation"), {"owner_id": owner_id, "video_id": video_id}
        ).scalar_one()
    )


def current_generation(tx: Connection, *, owner_id: UUID, video_id: UUID) -> int:
    """The generation that was worked on last; 1 before the first job."""
    found = tx.execute(
        statement("videos/current_generation"), {"owner_id": owner_id, "video_id": video_id}
    ).scalar_one_or_none()
    return 1 if found is None else int(found)


def remove(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """Delete the row and, by cascade, everything that belongs to it, its jobs too."""
    tx.execute(statement("videos/delete"), {"owner_id": owner_id, "video_id": video_id})

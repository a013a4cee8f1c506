"""Rows of `videos`, always of one owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import MAX_ERROR, clean_text, to_json
from scenebook.errors import NotFound
from scenebook.model import Stage, Video, VideoStatus

# `ready`, `partial` and `failed` come with news, from `scenebook.settling`.
Unsettled = Literal[
    VideoStatus.UPLOADING,
    VideoStatus.WAITING,
    VideoStatus.PROCESSING,
    VideoStatus.CANCELLED,
    VideoStatus.DELETING,
]

CONDITIONS = (
    "video_id",
    "content_hash",
    "status",
    "hidden",
    "title",
    "before",
    "after_id",
    "limit",
)


def add(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    title: str,
    source_key: str,
    content_hash: str,
    size: int,
    language: str | None = None,
    metadata: dict[str, Any] | None = None,
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
            "language": language,
            "metadata": to_json(metadata or {}),
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
        raise NotFound(f"There is no video {video_id}.")
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


def page(
    tx: Connection,
    *,
    owner_id: UUID,
    limit: int,
    after: tuple[datetime, UUID] | None,
    status: VideoStatus | None,
    title: str | None,
) -> list[Video]:
    """At most `limit` videos, newest first, from behind the one with this time and id.

    Without a status, those that are being deleted are left out. title: a part of it, in any case.
    """
    return _select(
        tx,
        owner_id=owner_id,
        status=status,
        hidden=VideoStatus.DELETING if status is None else None,
        title=title,
        before=None if after is None else after[0],
        after_id=None if after is None else after[1],
        limit=limit,
    )


def best_keyframes(
    tx: Connection, *, owner_id: UUID, video_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """The keyframe that shows best how a video begins, of those that have one."""
    rows = tx.execute(
        statement("videos/best_keyframes"), {"owner_id": owner_id, "ids": list(video_ids)}
    )
    return {row.video_id: row.id for row in rows}


def _select(tx: Connection, *, owner_id: UUID, **conditions: object) -> list[Video]:
    """The owner's videos, newest first; a condition that is left out, or None, is none."""
    rows = tx.execute(
        statement("videos/select"),
        dict.fromkeys(CONDITIONS) | {"owner_id": owner_id} | conditions,
    )
    return [_video(row._asdict()) for row in rows]


def _video(row: dict[str, Any]) -> Video:
    return Video(**(row | {"status": VideoStatus(row["status"])}))


def edit(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    title: str | None,
    own: Mapping[str, Any] | None,
) -> bool:
    """Change the title, or what the owner wrote; None leaves it as it is.

    False if the video is being deleted, or what the owner wrote has no room beside what the file
    says of itself.
    """
    row = tx.execute(
        statement("videos/edit"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "title": title and clean_text(title, limit=MAX_ERROR),
            "own": None if own is None else to_json(own),
        },
    )
    return row.one_or_none() is not None


def set_status(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    status: Unsettled,
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
) -> bool:
    """Nothing of this generation can be searched; False if the video is being deleted.

    Call `settling.fail`, which also tells whoever wants to know.
    """
    row = tx.execute(
        statement("videos/fail"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "stage": stage,
            "reason": clean_text(reason),
        },
    ).one_or_none()
    return row is not None


def set_media(tx: Connection, *, owner_id: UUID, video_id: UUID, columns: dict[str, Any]) -> None:
    """Store what probing found: the columns of `sql/videos/set_media.sql`."""
    values = columns | {"metadata": to_json(columns["metadata"])}
    tx.execute(statement("videos/set_media"), {"owner_id": owner_id, "video_id": video_id} | values)


def set_language(tx: Connection, *, owner_id: UUID, video_id: UUID, language: str) -> None:
    """Store the language that was heard or read, unless the video has one already."""
    tx.execute(
        statement("videos/set_language"),
        {"owner_id": owner_id, "video_id": video_id, "language": language},
    )


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
) -> bool:
    """Show readers this generation; False if the video is being deleted.

    Call `settling.finish`, which also tells whoever wants to know.
    """
    row = tx.execute(
        statement("videos/finish"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "status": status,
            "reason": reason and clean_text(reason),
        },
    ).one_or_none()
    return row is not None


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

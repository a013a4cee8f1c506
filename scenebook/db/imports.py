"""Rows of `videos` whose source comes from a URL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import to_json


def add(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    title: str,
    source_key: str,
    source_url: str,
    language: str | None,
    metadata: dict[str, Any],
) -> None:
    """Add a video whose source is to be fetched, once `videos.uploaded` says that it may begin."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    tx.execute(
        statement("videos/add_import"),
        {
            "id": video_id,
            "owner_id": owner_id,
            "title": title,
            "source_key": source_key,
            "source_url": source_url,
            "language": language,
            "metadata": to_json(metadata),
        },
    )


def fetched(
    tx: Connection, *, owner_id: UUID, video_id: UUID, content_hash: str, size: int
) -> bool:
    """Mark the source as stored; False if the owner has these bytes as another video."""
    row = tx.execute(
        statement("videos/fetched"),
        {"owner_id": owner_id, "video_id": video_id, "content_hash": content_hash, "bytes": size},
    ).one_or_none()
    return row is not None

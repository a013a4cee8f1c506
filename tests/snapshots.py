"""Everything stored for a video as one comparable value, without what differs from run to run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

STATEMENTS = {
    "video": "select status, reason, generation, duration_ms, decoded_ms, width, height, has_audio"
    " from public.videos where id = %s",
    "scenes": "select scene_index, start_ms, end_ms, transcript, description, summary, tags"
    " from public.scenes where video_id = %s order by scene_index",
    "keyframes": "select s.scene_index, k.at_ms, k.rank, k.image_hash from public.keyframes as k"
    " join public.scenes as s on s.id = k.scene_id where s.video_id = %s"
    " order by s.scene_index, k.rank",
    "channels": "select s.scene_index, c.channel, c.status, c.error"
    " from public.scene_channels as c join public.scenes as s on s.id = c.scene_id"
    " where s.video_id = %s order by s.scene_index, c.channel",
    "embeddings": "select s.scene_index, p.channel, e.ordinal, e.at_ms, e.embedding::text"
    " from public.scene_embeddings as e join public.scenes as s on s.id = e.scene_id"
    " join public.embedding_spaces as p on p.id = e.space_id"
    " where s.video_id = %s order by s.scene_index, p.channel, e.ordinal",
    "utterances": "select ordinal, start_ms, end_ms, text, source from public.utterances"
    " where video_id = %s order by ordinal",
    "sidecars": "select s.scene_index, s.sidecar -> 'version' as version from public.scenes as s"
    " where s.video_id = %s order by s.scene_index",
}


def snapshot(url: str, video_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Table by table, the rows of one video."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {
            name: connection.execute(statement, (video_id,)).fetchall()
            for name, statement in STATEMENTS.items()
        }


def open_jobs(url: str) -> int:
    """Jobs that are not finished."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from public.jobs where state in ('queued', 'retryable', 'running')"
        ).fetchone()
    assert row is not None
    return int(row[0])

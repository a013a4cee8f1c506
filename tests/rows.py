"""Rows for database tests, written as the superuser, with vectors whose order is plain to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID, uuid4

import psycopg

DIMENSIONS = 4
NORTH = (1.0, 0.0, 0.0, 0.0)
EAST = (0.0, 1.0, 0.0, 0.0)
UP = (0.0, 0.0, 1.0, 0.0)
SOUTH = (-1.0, 0.0, 0.0, 0.0)

Direction = Sequence[float]


def between(one: Direction, other: Direction, *, weight: float = 0.5) -> tuple[float, ...]:
    """The direction between two, of norm 1; `weight` is the share of the other."""
    mixed = [(1 - weight) * a + weight * b for a, b in zip(one, other, strict=True)]
    norm = math.sqrt(sum(x * x for x in mixed))
    return tuple(x / norm for x in mixed)


def literal(vector: Direction) -> str:
    """The text that `::vector` and `::halfvec` read."""
    return "[" + ",".join(repr(float(x)) for x in vector) + "]"


def an_owner(connection: psycopg.Connection, owner_id: UUID | None = None) -> UUID:
    """A row in `owners`."""
    owner = owner_id or uuid4()
    connection.execute("insert into public.owners (id) values (%s)", (owner,))
    return owner


def a_space(
    connection: psycopg.Connection,
    *,
    channel: str = "visual_clip",
    dimensions: int = DIMENSIONS,
    status: str = "active",
    model: str = "compass",
) -> int:
    """An embedding space."""
    row = connection.execute(
        "insert into public.embedding_spaces"
        " (channel, model, weights, revision, dimensions, status)"
        " values (%s, %s, 'test', '1', %s, %s) returning id",
        (channel, model, dimensions, status),
    ).fetchone()
    assert row is not None
    return int(row[0])


def a_video(
    connection: psycopg.Connection, *, owner: UUID, status: str = "ready", generation: int = 1
) -> UUID:
    """A video without scenes."""
    row = connection.execute(
        "insert into public.videos"
        " (owner_id, title, source_key, content_hash, bytes, status, generation)"
        " values (%s, 'A video', 'key', gen_random_uuid()::text, 1, %s, %s) returning id",
        (owner, status, generation),
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def a_scene(
    connection: psycopg.Connection,
    *,
    owner: UUID,
    video: UUID,
    index: int = 0,
    generation: int = 1,
    transcript: str | None = None,
) -> UUID:
    """A scene of one second; scene 0 starts at 0 ms."""
    row = connection.execute(
        "insert into public.scenes (owner_id, video_id, generation, scene_index, start_ms, end_ms,"
        " transcript, lease_token) values (%s, %s, %s, %s, %s, %s, %s, 1) returning id",
        (owner, video, generation, index, index * 1000, index * 1000 + 1000, transcript),
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def an_embedding(
    connection: psycopg.Connection,
    vector: Direction,
    *,
    scene: UUID,
    space: int,
    ordinal: int = 0,
    at_ms: int | None = None,
) -> None:
    """A vector of a scene; owner, video and generation are the scene's."""
    connection.execute(
        "insert into public.scene_embeddings"
        " (space_id, owner_id, video_id, scene_id, generation, ordinal, at_ms, embedding)"
        " select %s, s.owner_id, s.video_id, s.id, s.generation, %s, %s, %s::public.halfvec"
        " from public.scenes as s where s.id = %s",
        (space, ordinal, at_ms, literal(vector), scene),
    )


def scenes_with(
    connection: psycopg.Connection, vectors: Sequence[Direction], *, owner: UUID, space: int
) -> list[UUID]:
    """One video whose scenes carry these vectors, in this order."""
    video = a_video(connection, owner=owner)
    made = [
        a_scene(connection, owner=owner, video=video, index=index) for index in range(len(vectors))
    ]
    for scene, vector in zip(made, vectors, strict=True):
        an_embedding(connection, vector, scene=scene, space=space)
    return made


def a_library(connection: psycopg.Connection, *, owner: UUID, space: int) -> UUID:
    """One row of this owner in every table that has an owner; returns the video."""
    video = a_video(connection, owner=owner)
    scene = a_scene(connection, owner=owner, video=video, transcript="good morning")
    an_embedding(connection, NORTH, scene=scene, space=space)
    connection.execute(
        "insert into public.utterances"
        " (owner_id, video_id, generation, ordinal, scene_id, start_ms, end_ms, text, source)"
        " values (%s, %s, 1, 0, %s, 0, 900, 'good morning', 'subtitles')",
        (owner, video, scene),
    )
    connection.execute(
        "insert into public.video_words (owner_id, video_id, word, spelt)"
        " values (%s, %s, 'morning', true)",
        (owner, video),
    )
    connection.execute(
        "insert into public.keyframes (owner_id, scene_id, at_ms, rank, quality, image_key,"
        " image_hash) values (%s, %s, 100, 0, '{}', 'key', 'hash')",
        (owner, scene),
    )
    connection.execute(
        "insert into public.scene_channels (owner_id, scene_id, channel, status, metadata)"
        " values (%s, %s, 'visual_clip', 'ok', '{\"inference_time_ms\": 21.5}')",
        (owner, scene),
    )
    connection.execute(
        "insert into public.space_scenes (space_id, owner_id, scene_id, status)"
        " values (%s, %s, %s, 'timeout')",
        (space, owner, scene),
    )
    connection.execute(
        "insert into public.jobs (owner_id, video_id, generation, stage)"
        " values (%s, %s, 1, 'probe')",
        (owner, video),
    )
    connection.execute(
        "insert into public.paid_calls (owner_id, key, response) values (%s, 'key', '{}')",
        (owner,),
    )
    _door_rows(connection, owner=owner, video=video)
    return video


def _door_rows(connection: psycopg.Connection, *, owner: UUID, video: UUID) -> None:
    """One row of this owner in every table of the HTTP service."""
    connection.execute(
        "insert into public.api_keys (owner_id, name, prefix, secret_hash, scopes)"
        " values (%s, 'a key', 'sbk_', encode(sha256(%s::text::bytea), 'hex'), '{read}')",
        (owner, owner),
    )
    connection.execute(
        "insert into public.idempotency_keys (owner_id, key, request_hash, locked_until)"
        " values (%s, 'key', 'hash', now())",
        (owner,),
    )
    connection.execute(
        "insert into public.uploads (owner_id, bytes, video_id, expires_at)"
        " values (%s, 1, %s, now())",
        (owner, video),
    )
    connection.execute(
        "with endpoint as (insert into public.webhook_endpoints (owner_id, url, secret, events)"
        " values (%s, 'https://example.org', 'whsec_', '{video.ready}') returning owner_id, id)"
        " insert into public.webhook_deliveries (owner_id, endpoint_id, event, payload)"
        " select owner_id, id, 'video.ready', '{}' from endpoint",
        (owner,),
    )
    connection.execute(
        "insert into public.searches (owner_id, took_ms, hits) values (%s, 1, 0)", (owner,)
    )

"""Libraries of many scenes for tests of the vector search: made-up topics, loaded at once."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from tests.rows import a_video

Floats = NDArray[np.float32]


def around(topics: Floats, count: int, rng: np.random.Generator) -> Floats:
    """(count, dimensions) vectors of norm 1 scattered about the topics."""
    noise = rng.standard_normal((count, topics.shape[1])) * (0.7 / np.sqrt(topics.shape[1]))
    return unit(topics[rng.integers(len(topics), size=count)] + noise)


def some_topics(count: int, dimensions: int, rng: np.random.Generator) -> Floats:
    """(count, dimensions) directions that have nothing to do with each other."""
    return unit(rng.standard_normal((count, dimensions)))


def unit(vectors: NDArray[np.float64] | Floats) -> Floats:
    """The vectors at norm 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def load(tx: psycopg.Connection, vectors: Floats, *, owner: UUID, space: int) -> list[UUID]:
    """One video of the owner with a scene a vector; the ids of the scenes, in this order."""
    register_vector(tx)
    video = a_video(tx, owner=owner)
    made = tx.execute(
        "insert into public.scenes"
        " (owner_id, video_id, generation, scene_index, start_ms, end_ms, lease_token)"
        " select %s, %s, 1, i, i, i + 1, 1 from generate_series(0, %s) as i"
        " returning id, scene_index",
        (owner, video, len(vectors) - 1),
    ).fetchall()
    scenes = [scene for scene, _ in sorted(made, key=lambda row: row[1])]
    columns = "space_id, owner_id, video_id, scene_id, generation, ordinal, embedding"
    with (
        tx.cursor() as cursor,
        cursor.copy(f"copy public.scene_embeddings ({columns}) from stdin (format binary)") as copy,
    ):
        copy.set_types(["int4", "uuid", "uuid", "uuid", "int4", "int4", "halfvec"])
        for scene, vector in zip(scenes, vectors, strict=True):
            copy.write_row((space, owner, video, scene, 1, 0, HalfVector(vector)))
    return scenes


def nearest(vectors: Floats, scenes: list[UUID], query: Floats, count: int) -> list[UUID]:
    """The exact answer over the vectors as they are stored."""
    stored = unit(vectors.astype(np.float16).astype(np.float64))
    order = np.argsort(-(stored @ query), kind="stable")
    return [scenes[i] for i in order[:count]]

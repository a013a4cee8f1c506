"""Benchmark: exact search of one owner against a shared HNSW index, and what either finds.

Run `python -m benchmarks.search`; it takes two to three minutes on 2 cores. 100 owners of 1,000
scenes each share the same 300 topics, as owners with everyday videos do; vectors have 512
dimensions, seeds are fixed. Both ways run in one session under row-level security; the HNSW index
is built for the comparison, and the planner is kept from avoiding it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector

from scenebook.db import migrate
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory

OWNERS = 100
SCENES = 1_000
DIMENSIONS = 512
TOPICS = 300
SPREAD = 0.7  # norm of the noise around a topic of norm 1
QUERIES = 200
BLOCK = 20
LIMIT = 20
TARGET_RATIO = 10.0
TARGET_RECALL = 0.998

Floats = NDArray[np.float32]


@dataclass
class Way:
    """One way of searching: the session's settings for it, how to ask, and what came of it."""

    name: str
    settings: str
    ask: Callable[[int], list[int]]
    times_ms: list[float] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)


def made_up_vectors(count: int, topics: Floats, rng: np.random.Generator) -> Floats:
    """(count, DIMENSIONS) vectors of norm 1, scattered around the topics."""
    noise = rng.standard_normal((count, DIMENSIONS)) * (SPREAD / np.sqrt(DIMENSIONS))
    return unit(topics[rng.integers(len(topics), size=count)] + noise)


def unit(vectors: NDArray[Any]) -> Floats:
    """The vectors at norm 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def scene_id(number: int) -> UUID:
    """Ids that grow with the number, so that ties are ordered alike everywhere."""
    return UUID(int=(4 << 76) | (8 << 60) | number)


def owner_id(owner: int) -> UUID:
    """Id of the owner with this number."""
    return UUID(int=(1 << 100) | (4 << 76) | (8 << 60) | owner)


def load(connection: psycopg.Connection[Any], vectors: Floats) -> None:
    """One video an owner; everything by binary COPY."""
    owners = [owner_id(owner) for owner in range(OWNERS)]
    with connection.cursor() as cursor:
        cursor.executemany("insert into public.owners (id) values (%s)", [(o,) for o in owners])
        cursor.executemany(
            "insert into public.videos (id, owner_id, title, source_key, content_hash, bytes,"
            " status) values (%s, %s, 'A video', 'key', 'hash', 1, 'ready')",
            [(o, o) for o in owners],
        )
        cursor.execute(
            "insert into public.embedding_spaces (id, channel, model, weights, revision,"
            " dimensions) overriding system value values (1, 'visual_clip', 'm', 'w', 'r', %s)",
            (DIMENSIONS,),
        )
        columns = "id, owner_id, video_id, generation, scene_index, start_ms, end_ms, lease_token"
        with cursor.copy(f"copy public.scenes ({columns}) from stdin (format binary)") as copy:
            copy.set_types(["uuid", "uuid", "uuid", "int4", "int4", "int8", "int8", "int8"])
            for number in range(OWNERS * SCENES):
                owner, index = owners[number // SCENES], number % SCENES
                copy.write_row((scene_id(number), owner, owner, 1, index, index, index + 1, 1))
        columns = "space_id, owner_id, video_id, scene_id, generation, ordinal, embedding"
        statement = f"copy public.scene_embeddings ({columns}) from stdin (format binary)"
        with cursor.copy(statement) as copy:
            copy.set_types(["int4", "uuid", "uuid", "uuid", "int4", "int4", "halfvec"])
            for number, vector in enumerate(vectors):
                owner = owners[number // SCENES]
                copy.write_row((1, owner, owner, scene_id(number), 1, 0, HalfVector(vector)))


def measure(connection: psycopg.Connection[Any], ways: list[Way]) -> None:
    """Every query by every way, in turns of a block, so that a busy machine hits all alike."""
    for start in range(0, QUERIES, BLOCK):
        for way in ways:
            connection.execute(way.settings)
            way.ask(start)  # warms the caches and plans
            for query in range(start, start + BLOCK):
                began = time.perf_counter()
                way.found.append(way.ask(query))
                way.times_ms.append((time.perf_counter() - began) * 1000)


EXACT = (
    "select scene_id from public.search_scenes_by_visual_clip_embedding("
    "query_embedding => %s, match_threshold => -1, match_count => %s, filter_user_id => %s)"
)
HNSW = (
    "select scene_id from public.scene_embeddings where space_id = 1 and owner_id = %s"
    f" order by embedding::public.halfvec({DIMENSIONS})"
    f" operator(public.<=>) %s::public.halfvec({DIMENSIONS}) limit %s"
)


def exact_way(connection: psycopg.Connection[Any], owner: int, queries: Floats) -> Way:
    """The product's own function, under the server's own settings."""

    def ask(query: int) -> list[int]:
        arguments = (Vector(queries[query]), LIMIT, owner_id(owner))
        return numbers(connection.execute(EXACT, arguments).fetchall())

    return Way("exact, the product's function", "reset enable_sort; reset enable_seqscan", ask)


def hnsw_way(connection: psycopg.Connection[Any], owner: int, queries: Floats, order: str) -> Way:
    """One index over all owners, walked on until the owner's rows are enough.

    The planner would leave the index by itself; this is what it costs when it does not.
    """
    settings = f"set enable_sort = off; set enable_seqscan = off; set hnsw.iterative_scan = {order}"

    def arguments(query: int) -> tuple[Any, ...]:
        return (owner_id(owner), HalfVector(queries[query]), LIMIT)

    connection.execute(settings)
    plan = connection.execute("explain " + HNSW, arguments(0)).fetchall()
    if not any("shared_hnsw" in line for (line,) in plan):
        raise SystemExit(f"The planner avoids the HNSW index:\n{plan}")

    def ask(query: int) -> list[int]:
        return numbers(connection.execute(HNSW, arguments(query)).fetchall())

    return Way(f"HNSW, iterative scan, {order}", settings, ask)


def numbers(rows: list[tuple[Any, ...]]) -> list[int]:
    """Scene numbers of the ids in the first column."""
    return [row[0].int & 0xFFFFFFFF for row in rows]


def nearest(vectors: NDArray[Any], queries: Floats, owner: int) -> list[list[int]]:
    """Exact answers in double precision, ties by number."""
    own = vectors[owner * SCENES : (owner + 1) * SCENES].astype(np.float64)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    order = np.argsort(-(queries.astype(np.float64) @ own.T), axis=1, kind="stable")
    return [[owner * SCENES + int(i) for i in row[:LIMIT]] for row in order]


def recall(found: list[list[int]], truth: list[list[int]]) -> float:
    """Share of the true scenes that were found."""
    hits = sum(len(set(f) & set(t)) for f, t in zip(found, truth, strict=True))
    return hits / sum(map(len, truth))


def run(embedded: EmbeddedPostgres) -> bool:
    """Load, measure, print; whether the targets are met."""
    rng = np.random.default_rng(2026)
    topics = unit(rng.standard_normal((TOPICS, DIMENSIONS)))
    vectors = made_up_vectors(OWNERS * SCENES, topics, rng)
    queries = made_up_vectors(QUERIES, topics, rng)
    owner = OWNERS // 2
    migrate.upgrade(embedded.url())
    with psycopg.connect(embedded.url().replace("+psycopg", "")) as connection:
        register_vector(connection)
        timed("loaded the vectors", lambda: load(connection, vectors))
        timed("built the HNSW index", lambda: build_index(connection))
        connection.execute("analyze")
        connection.commit()
        claims = json.dumps({"sub": str(owner_id(owner))})
        connection.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
        connection.execute("set role authenticated")
        ways = [
            exact_way(connection, owner, queries),
            hnsw_way(connection, owner, queries, "strict_order"),
            hnsw_way(connection, owner, queries, "relaxed_order"),
        ]
        measure(connection, ways)
    stored = nearest(vectors.astype(np.float16), queries, owner)
    return report(ways, stored, nearest(vectors, queries, owner))


def build_index(connection: psycopg.Connection[Any]) -> None:
    """The index that the function does without, with pgvector's default parameters."""
    connection.execute("set maintenance_work_mem = '1GB'")
    connection.execute(
        "create index shared_hnsw on public.scene_embeddings using hnsw"
        f" ((embedding::public.halfvec({DIMENSIONS})) public.halfvec_cosine_ops)"
    )


def report(ways: list[Way], stored: list[list[int]], full: list[list[int]]) -> bool:
    """Print the table and whether the exact function keeps its promises."""
    say(f"\n{QUERIES} queries, {LIMIT} wanted, owner of {SCENES:,} among {OWNERS * SCENES:,}")
    say(f"{'way':38} {'p50 ms':>8} {'p95 ms':>8} {'rows':>6} {'of stored':>10} {'of float32':>11}")
    for way in ways:
        say(
            f"{way.name:38} {statistics.median(way.times_ms):8.2f}"
            f" {float(np.quantile(way.times_ms, 0.95)):8.2f}"
            f" {statistics.mean(map(len, way.found)):6.1f}"
            f" {recall(way.found, stored):10.4f} {recall(way.found, full):11.4f}"
        )
    exact, *others = ways
    fastest = min(statistics.median(way.times_ms) for way in others)
    ratio = fastest / statistics.median(exact.times_ms)
    same = sum(f == t for f, t in zip(exact.found, stored, strict=True))
    say(f"\nexact is {ratio:.1f} x faster than the faster HNSW (target {TARGET_RATIO:.0f} x)")
    say(f"queries whose rows equal exact search over the stored vectors: {same}/{QUERIES}")
    return (
        ratio >= TARGET_RATIO
        and recall(exact.found, stored) == 1.0
        and recall(exact.found, full) >= TARGET_RECALL
    )


def timed(what: str, work: Callable[[], None]) -> None:
    """Do it and say how long it took."""
    began = time.perf_counter()
    work()
    say(f"{what} in {time.perf_counter() - began:.0f} s")


def say(line: str) -> None:
    """A line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Start a server for the run; 0 if every target is met."""
    home = Path(tempfile.mkdtemp(prefix="scenebook-bench-"))
    embedded = EmbeddedPostgres(home, socket_dir=private_directory(home / "run"), durable=False)
    try:
        embedded.start()
        url = embedded.url().replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("alter system set shared_buffers = '512MB'")  # both fit into memory
        embedded.stop()
        embedded.start()
        met = run(embedded)
    finally:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)
    say("targets met" if met else "TARGETS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""Benchmark: a search over HTTP against its SQL alone and against the least that could answer it.

Run `python -m benchmarks.api`; about two minutes on 2 cores. One owner has 2,000 of 40,000 scenes,
each with a picture's vector (figures, 128-d), a text's (MiniLM, 384-d) and words. Every request
asks the same query, so its vectors are cached; it is fused over three channels. All ways run by
turns in the same run; the load comes from this process, over kept-alive connections.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import psutil
import psycopg
from pgvector import HalfVector
from rich.console import Console
from rich.table import Table

from benchmarks.load import Client, latency_ms, rate
from benchmarks.search import unit
from scenebook import api_keys
from scenebook.db import migrate
from scenebook.db.engine import Database, Role, statement
from scenebook.db.spaces import open_space
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory, start_tethered, stop_process
from scenebook.embedded.redis import EmbeddedRedis
from scenebook.encoders.client import Encoders
from scenebook.environment import process_environment
from scenebook.model import Channel, SearchChannel
from scenebook.queries import VISION_SHARES, shared_weights
from scenebook.settings import Settings, load

OWNERS = 20
SCENES = 2_000
QUERY = "red boat harbour"
WORDS = (
    *("red", "blue", "boat", "harbour", "night", "singing", "people"),
    *("street", "water", "mountain", "dog", "child", "music", "rain"),
)
LIMIT = 10
CONNECTIONS = 16
ROUNDS = 5
ALONE = 100  # requests of a round, one after another
SECONDS = 4.0  # of a round at 16 connections
TARGETS = {"p50": 3.0, "rate": 0.25, "memory_mb": 150.0}

console = Console()


def load_library(url: str, spaces: dict[Channel, tuple[int, int]]) -> UUID:
    """Owners with scenes, words and random vectors in each space (id, dimensions); one of them."""
    rng = np.random.default_rng(2026)
    owners = [uuid4() for _ in range(OWNERS)]
    with psycopg.connect(url) as tx, tx.cursor() as cursor:
        for owner in owners:
            scenes = [uuid4() for _ in range(SCENES)]
            cursor.execute("insert into public.owners (id) values (%s)", (owner,))
            cursor.execute(
                "insert into public.videos (id, owner_id, title, source_key, content_hash, bytes,"
                " status) values (%s, %s, 'A video', 'key', 'hash', 1, 'ready')",
                (owner, owner),
            )
            columns = (
                "id, owner_id, video_id, generation, scene_index, start_ms, end_ms, transcript,"
                " lease_token"
            )
            with cursor.copy(f"copy public.scenes ({columns}) from stdin") as copy:
                for index, scene in enumerate(scenes):
                    text = " ".join(rng.choice(WORDS, 8))
                    copy.write_row((scene, owner, owner, 1, index, index, index + 1, text, 1))
            for space, dimensions in spaces.values():
                vectors = unit(rng.standard_normal((SCENES, dimensions)))
                columns = "space_id, owner_id, video_id, scene_id, generation, ordinal, embedding"
                with cursor.copy(f"copy public.scene_embeddings ({columns}) from stdin") as copy:
                    for scene, vector in zip(scenes, vectors, strict=True):
                        text = HalfVector(vector).to_text()
                        copy.write_row((space, owner, owner, scene, 1, 0, text))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    return owners[OWNERS // 2]


def sql_ms(given: dict[str, Any]) -> float:
    """Median time of the statement alone, on one connection."""
    from benchmarks.bare_endpoint import connect

    times = []
    with closing(connect(given)) as connection:
        for _ in range(ALONE):
            began = time.perf_counter()
            connection.execute(given["statement"], given["arguments"]).fetchall()
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def http(path: str, body: dict[str, Any], key: str = "") -> bytes:
    """A whole request."""
    content = json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    if key:
        head.append(f"Authorization: Bearer {key}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def arguments_of(
    owner: UUID, vectors: dict[Channel, list[float]], spaces: dict[Channel, tuple[int, int]]
) -> dict[str, Any]:
    """What the API passes to the same statement for the same query."""
    names = re.findall(r"(?<!:):(\w+)", statement("search/hybrid").text)
    channels = [SearchChannel(channel) for channel in (*vectors, "lexical")]
    arguments: dict[str, Any] = dict.fromkeys(names)
    return arguments | {
        "text": QUERY,
        **{channel.value: str(vector) for channel, vector in vectors.items()},
        "weights": json.dumps(shared_weights(VISION_SHARES["balanced"], channels)),
        "thresholds": json.dumps(dict.fromkeys(vectors, -1)),
        "space_ids": json.dumps({channel: spaces[channel][0] for channel in vectors}),
        "limit": LIMIT + 1,
        "candidates": 200,
        "owner_id": str(owner),
    }


def open_spaces(
    url: str, settings: Settings
) -> tuple[dict[Channel, tuple[int, int]], dict[Channel, list[float]]]:
    """The spaces of the models, and the query's vector in each."""
    spaces, vectors = {}, {}
    worker = Database(url, role=Role.WORKER, pool_size=1)
    with closing(Encoders(settings)) as encoders, closing(worker):
        for space in (encoders.image_space(), encoders.text_space(Channel.TRANSCRIPT)):
            with worker.across_owners() as tx:
                spaces[space.channel] = (open_space(tx, space), space.dimensions)
        vectors[Channel.VISUAL_CLIP] = encoders.encode_query_image_text([QUERY])[0].tolist()
        vectors[Channel.TRANSCRIPT] = encoders.encode_texts([QUERY])[0].tolist()
    return spaces, vectors


def free_port() -> int:
    """A port of this machine that nobody has at present."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def wait_for(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    """Until a process answers 200 (or, where there is no such path, answers at all)."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit("A server ended instead of serving.")
        try:
            reply = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5)
        except httpx.TransportError:
            reply = None
        if reply is not None and (reply.status_code == 200 or path == "/"):
            return
        time.sleep(0.2)
    raise SystemExit(f"A server did not get ready: {reply.text if reply else 'no answer'}")


def run(home: Path, url: str, redis_url: str) -> bool:
    """Start both servers, measure them by turns, print the table; whether the targets are met."""
    variables = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "SCENEBOOK_DATA_DIR": str(home / "data"),
        "CLIP_ENABLED": "true",
        "CLIP_MODEL_NAME": "figures",
        "CLIP_PRETRAINED": "",
        "RATE_LIMIT_OWNER": "1000000/minute",
        "RATE_LIMIT_KEY": "1000000/minute",
        "LOG_LEVEL": "WARNING",
        "PORT": str(free_port()),
    }
    migrate.upgrade(url)
    spaces, vectors = open_spaces(url, load(variables))
    owner = load_library(url, spaces)
    db = Database(url, role=Role.API, pool_size=1)
    key = api_keys.create_key(db, owner_id=owner, name="benchmark", scopes=["read"]).secret
    db.close()

    port, bare_port = int(variables["PORT"]), free_port()
    given = {
        "conninfo": url,
        "claims": json.dumps({"sub": str(owner), "role": "authenticated"}),
        "statement": re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement("search/hybrid").text),
        "arguments": arguments_of(owner, vectors, spaces),
    }
    (home / "bare.json").write_text(json.dumps(given))
    ours = start_tethered([sys.executable, "-m", "api"], environment=process_environment(variables))
    bare = start_tethered(
        [sys.executable, "-m", "benchmarks.bare_endpoint", str(bare_port), str(home / "bare.json")],
        environment=process_environment({}),
    )
    try:
        wait_for(port, "/readyz", ours)
        wait_for(bare_port, "/", bare)
        asked = http("/v1/search", {"text": QUERY, "limit": LIMIT, "threshold": -1}, key)
        compare_answers(asked, port, given)
        figures = measure(port, asked, bare_port, given)
        parent = psutil.Process(ours.pid)
        memory = [parent.memory_info().rss / 2**20]
        memory += [one.memory_info().rss / 2**20 for one in parent.children(recursive=True)]
    finally:
        for process in (ours, bare):
            stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})
    return report(figures, memory)


def measure(
    port: int, asked: bytes, bare_port: int, given: dict[str, Any]
) -> dict[str, list[float]]:
    """Every figure in every round, by turns."""
    plain = http("/search", {})
    load = {"connections": CONNECTIONS, "seconds": SECONDS}
    ways: dict[str, Callable[[], float]] = {
        "SQL alone, p50 ms": lambda: sql_ms(given),
        "API, p50 ms": lambda: asyncio.run(latency_ms(port, asked, requests=ALONE)),
        "bare endpoint, p50 ms": lambda: asyncio.run(latency_ms(bare_port, plain, requests=ALONE)),
        "API, requests/s": lambda: asyncio.run(rate(port, asked, **load)),
        "bare endpoint, requests/s": lambda: asyncio.run(rate(bare_port, plain, **load)),
    }
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work()  # warms up
    for _ in range(ROUNDS):
        for name, work in ways.items():
            figures[name].append(work())
    return figures


def compare_answers(asked: bytes, port: int, given: dict[str, Any]) -> None:
    """Both must do the same work: SystemExit unless they find the same scenes in the same order."""
    from benchmarks.bare_endpoint import connect

    async def once() -> bytes:
        client = Client(port, asked)
        await client.open()
        try:
            return await client.ask()
        finally:
            client.close()

    found = json.loads(asyncio.run(once()))
    with closing(connect(given)) as connection:
        rows = connection.execute(given["statement"], given["arguments"]).fetchall()
    alike = [str(row["scene_id"]) for row in rows][:LIMIT]
    if found["degraded"] or [hit["scene_id"] for hit in found["data"]] != alike or not alike:
        raise SystemExit(f"The API and its SQL answer differently: {found['degraded']}")


def report(figures: dict[str, list[float]], memory: list[float]) -> bool:
    """Print what was measured against the targets."""
    middle = {name: statistics.median(values) for name, values in figures.items()}
    table = Table("figure", "median", "lowest", "highest", title=f"Medians of {ROUNDS} rounds")
    for name, values in figures.items():
        table.add_row(name, *(f"{one:.1f}" for one in (middle[name], min(values), max(values))))
    console.print(table)
    p50 = middle["API, p50 ms"] / middle["SQL alone, p50 ms"]
    share = middle["API, requests/s"] / middle["bare endpoint, requests/s"]
    console.print(f"API p50 : SQL alone          {p50:.2f} (target at most {TARGETS['p50']})")
    console.print(f"API : bare endpoint, rate    {share:.2f} (target at least {TARGETS['rate']})")
    console.print(
        f"api parent {memory[0]:.0f} MiB (target at most {TARGETS['memory_mb']:.0f}), its children "
        + ", ".join(f"{one:.0f} MiB" for one in memory[1:])
    )
    return (
        p50 <= TARGETS["p50"]
        and share >= TARGETS["rate"]
        and memory[0] * 2**20 <= TARGETS["memory_mb"] * 1e6
    )


def main() -> int:
    """Start the servers for the run; 0 if every target is met."""
    home = Path(tempfile.mkdtemp(prefix="scenebook-bench-"))
    run_dir = private_directory(home / "run")
    postgres = EmbeddedPostgres(home, socket_dir=run_dir, durable=False)
    redis = EmbeddedRedis(home, socket_dir=run_dir)
    try:
        postgres.start()
        redis.start()
        return 0 if run(home, postgres.url().replace("+psycopg", ""), redis.url) else 1
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

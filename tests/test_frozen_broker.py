"""With its broker frozen, refused or full the API takes, lists and searches; nothing is lost."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from scenebook.embedded.redis import EmbeddedRedis
from scenebook.settings import Settings
from tests.brokers import a_broker, client_of
from tests.serving import headers_of, running_api
from tests.stack import Stack, free_port, short_leases

DEADLINE_S = 2.0
MEASURE_S = 6.0
CLIENTS = 4


@pytest.fixture
def broker() -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own."""
    with a_broker() as server:
        yield server


def uses(client: httpx.Client) -> dict[str, Callable[[], httpx.Response]]:
    """What people ask for all the time."""
    return {
        "upload": lambda: client.post("/v1/videos", files={"file": ("film.mp4", uuid4().bytes)}),
        "list": lambda: client.get("/v1/videos?limit=20"),
        "get": lambda: client.get(f"/v1/videos/{client.headers['x-video']}"),
        "search": lambda: client.post("/v1/search", json={"text": "the same words again"}),
    }


@contextmanager
def a_client(url: str, owner: UUID) -> Iterator[httpx.Client]:
    """A client of this owner that has one video and one cached query."""
    with httpx.Client(base_url=url, headers=headers_of(owner), timeout=30) as client:
        client.headers["x-video"] = uses(client)["upload"]().json()["id"]
        assert uses(client)["search"]().status_code == 200
        yield client


def rows(database_url: str, owner: UUID) -> set[str]:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select v.id::text from public.videos as v join public.jobs as j on j.video_id = v.id"
            " where v.owner_id = %s and v.status = 'waiting' and j.stage = 'probe'",
            (owner,),
        )
        return {row[0] for row in found}


def ask_all(client: httpx.Client, times: int) -> set[str]:
    """Everything so many times, each within the deadline; the ids of acknowledged videos."""
    acknowledged = {client.headers["x-video"]}
    for _ in range(times):
        for name, ask in uses(client).items():
            began = time.monotonic()
            answer = ask()
            assert answer.status_code in (200, 201), (name, answer.text)
            assert time.monotonic() - began < DEADLINE_S, name
            if answer.status_code == 201:
                acknowledged.add(answer.json()["id"])
    return acknowledged


def test_videos_taken_while_the_broker_is_frozen_are_rows_and_are_rung_for_afterwards(
    broker: EmbeddedRedis, settings: Settings, database_url: str, alice: UUID, bob: UUID
) -> None:
    assert broker.pid is not None
    changed = settings.model_copy(update=short_leases(broker.url) | {"relay_interval_s": 0.1})
    stack = Stack(changed)
    try:
        with running_api(settings, redis_url=broker.url) as url, a_client(url, alice) as client:
            os.kill(broker.pid, signal.SIGSTOP)
            stack.start_relay()
            acknowledged = ask_all(client, 8)
            with a_client(url, bob) as other:
                ask_all(other, 1)
            ready = httpx.get(f"{url}/readyz", timeout=30)
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert rows(database_url, alice) == acknowledged
            os.kill(broker.pid, signal.SIGCONT)
            # The list in Redis is the one that a worker would take from.
            expected = len(rows(database_url, alice) | rows(database_url, bob))
            # At most max_running of an owner are in flight: rung for in turn, and again if need be.
            stack.wait(
                lambda: client_of(broker.url).llen("scenebook") >= min(expected, 8), "a ring"
            )
    finally:
        stack.close()


def test_a_broker_that_refuses_or_is_full_costs_the_api_nothing(
    broker: EmbeddedRedis, settings: Settings, database_url: str, alice: UUID, bob: UUID
) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    with running_api(settings, redis_url=nowhere) as url, a_client(url, alice) as client:
        assert ask_all(client, 3) == rows(database_url, alice)
    full = client_of(broker.url)
    full.config_set("maxmemory", "1")  # refuses every write
    with running_api(settings, redis_url=broker.url) as url, a_client(url, bob) as client:
        assert ask_all(client, 3) == rows(database_url, bob)


@pytest.mark.long
def test_a_frozen_broker_is_hardly_noticed_by_those_who_ask(
    broker: EmbeddedRedis,
    settings: Settings,
    alice: UUID,
    record_property: Callable[[str, object], None],
) -> None:
    """The figure of docs/reliability.md: the 99th percentile with Redis frozen against healthy."""
    generous = {"rate_limit_owner": "100000/minute", "rate_limit_key": "100000/minute"}
    assert broker.pid is not None
    lines = [f"{CLIENTS} clients, {MEASURE_S:.0f} s each: p50 / p99 / worst in ms"]
    with running_api(settings, redis_url=broker.url, **generous) as url:
        for state in ("healthy", "frozen"):
            if state == "frozen":
                os.kill(broker.pid, signal.SIGSTOP)
            for name, took in measured(url, alice).items():
                ranked = statistics.quantiles(took, n=100, method="inclusive")
                lines.append(
                    f"{state:8} {name:7} {ranked[49]:7.1f} {ranked[98]:7.1f} {max(took):7.1f}"
                    f"  ({len(took)} answers)"
                )
                if state == "frozen":
                    assert ranked[98] < 300, lines
    record_property("table", lines)


def measured(url: str, owner: UUID) -> dict[str, Sequence[float]]:
    """How long answers took, in ms, by what was asked."""
    took: dict[str, list[float]] = {}
    lock = threading.Lock()

    def ask(_: int) -> None:
        ends = time.monotonic() + MEASURE_S
        with a_client(url, owner) as client:
            while time.monotonic() < ends:
                for name, use in uses(client).items():
                    began = time.perf_counter()
                    answer = use()
                    spent = (time.perf_counter() - began) * 1000
                    assert answer.is_success, answer.text
                    with lock:
                        took.setdefault(name, []).append(spent)
                    time.sleep(0.02)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))
    return took  # type: ignore[return-value]

"""One trace leads from a request to its rows, its lines in every process's log, and its webhook."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import structlog
from starlette.testclient import TestClient

from scenebook import tracing
from scenebook.db.engine import Database, Role
from scenebook.settings import Settings
from scenebook.webhooks import add_endpoint
from tests.indexed import VIDEO
from tests.pipelines import a_pipeline
from tests.receivers import Receiver, a_receiver
from tests.serving import api_in_process, headers_of
from worker.deliveries import Deliveries

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("traceparent", "taken"),
    [
        (SENT, True),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes", True),
        (SENT.upper(), False),
        (f"{SENT}-more", False),
        (SENT.replace("00-4", "ff-4"), False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\x1b[31m", False),
        ("", False),
        ("a" * 10_000, False),
    ],
)
def test_a_trace_is_taken_over_if_the_standard_allows_it_and_made_otherwise(
    api: TestClient, traceparent: str, taken: bool
) -> None:
    answer = api.get("/livez", headers={"traceparent": traceparent})
    ours = tracing.parsed(answer.headers["traceresponse"])
    assert ours is not None
    assert (ours.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736") is taken
    assert ours.step_id != "00f067aa0ba902b7"
    assert tracing.current() is None


def trace_of(answer: httpx.Response) -> str:
    found = tracing.parsed(answer.headers["traceresponse"])
    assert found is not None
    return found.trace_id


def test_what_two_owners_ask_for_at_once_stays_apart_from_request_to_webhook(
    settings: Settings, database_url: str, alice: UUID, bob: UUID
) -> None:
    owners = (alice, bob)
    changed = settings.model_copy(update={"fetch_allow_hosts": "127.0.0.1"})
    assert changed.database_url is not None
    relay = Database(changed.database_url, role=Role.RELAY, pool_size=4)
    with (
        a_receiver() as receiver,
        structlog.testing.capture_logs(
            processors=[structlog.contextvars.merge_contextvars]
        ) as lines,
        api_in_process(changed) as api,
        a_pipeline(changed) as pipeline,
    ):
        for owner in owners:
            add_endpoint(as_the_api(changed), changed, owner_id=owner, url=receiver.url)
        with ThreadPoolExecutor(2) as pool:
            answers = dict(
                zip(owners, pool.map(lambda one: _upload(api, one), owners), strict=True)
            )
        pipeline.work()
        deliveries = Deliveries(changed, relay)
        while deliveries.round():
            pass
        deliveries.close()
    relay.close()
    traces = {owner: trace_of(answer) for owner, answer in answers.items()}
    assert len(set(traces.values())) == 2
    with psycopg.connect(database_url) as connection:
        for table in ("jobs", "webhook_deliveries"):
            rows = connection.execute(
                f"select owner_id, traceparent from public.{table}"
            ).fetchall()
            assert {owner for owner, _ in rows} == set(owners)
            for owner, traceparent in rows:
                assert traceparent.split("-")[1] == traces[owner]
    said: dict[str, set[Any]] = defaultdict(set)
    for line in lines:
        if line.get("owner_id") in {str(one) for one in owners} and "trace_id" in line:
            said[line["owner_id"]].add(line["trace_id"])
    done = [line for line in lines if line["event"] == "job_done"]
    assert len(done) >= 14
    assert all({"job_id", "attempt", "lease_token", "trace_id"} <= line.keys() for line in done)
    for owner, trace in traces.items():
        assert said[str(owner)] == {trace}
    told = _told(receiver)
    assert told == {answers[owner].json()["id"]: trace for owner, trace in traces.items()}


def as_the_api(settings: Settings) -> Database:
    """The database as the API knows it."""
    assert settings.database_url is not None
    return Database(settings.database_url, role=Role.API, pool_size=1)


def _upload(api: TestClient, owner: UUID) -> httpx.Response:
    files = {"file": ("film.mp4", Path(VIDEO).read_bytes())}
    return api.post("/v1/videos", files=files, headers=headers_of(owner))


def _told(receiver: Receiver) -> dict[str, str]:
    """The trace that came with the news of each video."""
    told = {}
    for one in receiver.received:
        headers = {name.lower(): value for name, value in one.headers.items()}
        video = json.loads(one.body)["data"]
        told[video["video_id"]] = headers["traceparent"].split("-")[1]
    return told


def test_a_retry_is_the_trace_of_whoever_asked_for_it(
    api: TestClient, database_url: str, alice: UUID
) -> None:
    first = _upload(api, alice)
    path = f"/v1/videos/{first.json()['id']}"
    assert api.post(f"{path}/cancel", headers=headers_of(alice)).is_success
    again = api.post(f"{path}/retry", headers=headers_of(alice))
    assert again.is_success, again.text
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select generation, array_agg(distinct split_part(traceparent, '-', 2))"
            " from public.jobs group by generation order by generation"
        ).fetchall()
    assert found == [(1, [trace_of(first)]), (2, [trace_of(again)])]

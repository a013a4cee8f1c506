"""Progress as server-sent events, over a real connection."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import uvicorn

from api.__main__ import DRAIN_S, Server
from api.app import create_app
from scenebook.model import Stage
from scenebook.settings import Settings
from scenebook.videos import add_video, delete_video
from tests.indexed import VIDEO
from tests.pipelines import Pipeline
from tests.rows import a_video
from tests.serving import headers_of

PATIENCE_S = 30


@dataclass
class Serving:
    """The service on a port of its own, in a thread of this process."""

    server: Server
    thread: threading.Thread
    url: str

    def stop(self) -> None:
        """Stop as at SIGTERM, and wait until everything is closed."""
        self.server.should_exit = True
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), "the service did not stop"


@pytest.fixture
def serving(settings: Settings) -> Iterator[Serving]:
    app = create_app(settings)
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=DRAIN_S), app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        made = Serving(server, thread, f"http://127.0.0.1:{listening.getsockname()[1]}")
        try:
            yield made  # who connects before it has started waits in the backlog
        finally:
            made.stop()


@pytest.fixture
def url(serving: Serving) -> str:
    return serving.url


@contextmanager
def watching(url: str, headers: dict[str, str]) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of one stream, each with its name, id and data."""
    with (
        httpx.Client(timeout=PATIENCE_S) as client,
        client.stream("GET", url, headers=headers) as reply,
    ):
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield events_of(reply.iter_lines())


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The events in lines as EventSource reads them."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line:
            if event:
                yield event
            event = {}
        elif name:
            event[name] = json.loads(value) if name == "data" else value


def test_progress_is_told_until_the_video_is_settled(
    url: str, pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    read = httpx.get(f"{url}/v1/videos/{video.id}", headers=headers_of(alice)).json()
    path = f"{url}{read['events_url']}"
    with watching(path, {}) as events:
        first = next(events)
        assert (first["event"], first["data"]["status"]) == ("progress", "waiting")
        assert (first["data"]["stage"], first["data"]["progress"]) == ("probe", 0)
        pipeline.work(until=Stage.PROBE)
        second = next(events)
        assert second["id"] != first["id"]
        worker = threading.Thread(target=pipeline.work)
        worker.start()
        told = list(events)
        worker.join()
    assert [one["event"] for one in told[:-1]] == ["progress"] * (len(told) - 1)
    done = told[-1]
    assert (done["event"], done["data"]["status"], done["data"]["progress"]) == (
        "settled",
        "ready",
        1.0,
    )
    shares = [one["data"]["progress"] for one in [first, second, *told]]
    assert shares == sorted(shares)

    # Who comes again learns nothing new, and EventSource stops asking at a 204.
    again = httpx.get(path, headers={"Last-Event-ID": done["id"]})
    assert again.status_code == 204
    with watching(path, {"Last-Event-ID": first["id"]}) as events:
        assert [one["event"] for one in events] == ["progress", "settled"]


def test_a_video_that_is_deleted_meanwhile_is_gone(
    url: str, pipeline: Pipeline, alice: UUID
) -> None:
    tools = pipeline.tools
    video = add_video(tools.db, tools.storage, owner_id=alice, path=VIDEO).video
    with watching(f"{url}/v1/videos/{video.id}/events", headers_of(alice)) as events:
        next(events)
        delete_video(tools.db, owner_id=alice, video_id=video.id)
        assert [one["event"] for one in events] == ["gone"]


def test_an_owner_has_so_many_streams_and_closed_ones_do_not_count(
    url: str, database_url: str, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        hers, his = (
            f"{url}/v1/videos/{a_video(connection, owner=owner, status='waiting')}/events"
            for owner in (alice, bob)
        )
    with ExitStack() as open_streams:
        held = [
            open_streams.enter_context(watching(hers, headers_of(alice)))
            for _ in range(Settings().owner_max_streams)
        ]
        assert {next(one)["event"] for one in held} == {"progress"}
        refused = httpx.get(hers, headers=headers_of(alice))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert "retry-after" in refused.headers
        with watching(his, headers_of(bob)) as events:
            assert next(events)["event"] == "progress"
        assert httpx.get(hers, headers=headers_of(bob)).status_code == 404
    for _ in range(100):  # the service hears of closed connections in its own time
        reply = open_and_close(hers, headers_of(alice))
        if reply == 200:
            return
    raise AssertionError("closed streams are still counted")


def open_and_close(url: str, headers: dict[str, str]) -> int:
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE_S) as reply:
        return reply.status_code


def test_streams_end_at_once_when_the_service_stops(
    serving: Serving, database_url: str, alice: UUID
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        video = a_video(connection, owner=alice, status="waiting")
    path = f"{serving.url}/v1/videos/{video}/events"
    with watching(path, headers_of(alice)) as events:
        next(events)
        serving.server.should_exit = True
        # An end, not the broken connection of a stream that was cut off.
        assert list(events) == []

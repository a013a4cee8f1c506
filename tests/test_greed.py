"""One greedy client costs the others nothing: each keeps its share, and the rest is answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import uvicorn

from api import connections
from scenebook.settings import Settings
from scenebook.storage import Storage
from tests.postgres import Server
from tests.rows import a_video
from tests.serving import headers_of, running_api

# Nobody waits this long on a quiet machine; whoever is kept waiting waits for longer.
SOON_S = 3.0
UPLOADS, STREAMS, REQUESTS, THREADS, MOST = 3, 2, 6, 4, 12


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A small service in a process of its own."""
    shares = {
        "owner_max_uploads": UPLOADS,
        "owner_max_streams": STREAMS,
        "owner_max_requests": REQUESTS,
        "api_threads": THREADS,
        "api_max_concurrency": MOST,
    }
    with running_api(settings, **shares) as made:
        yield made


def opened(url: str, method: str, path: str, headers: dict[str, str], body: bytes) -> socket.socket:
    """A connection on which a request has begun; what it sends is all that ever comes."""
    address = urlsplit(url)
    assert address.hostname is not None
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port or 80))
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return client


def upload_begun(url: str, owner: UUID) -> socket.socket:
    """An upload that says that it is large, and sends its beginning."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nfilm'
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000000"}
    return opened(url, "POST", "/v1/videos", headers_of(owner) | headers, part)


def answers_soon(url: str, owner: UUID) -> None:
    """This owner can list, search and upload within the time that people wait."""
    with httpx.Client(base_url=url, headers=headers_of(owner), timeout=SOON_S) as client:
        assert client.get("/v1/videos").status_code == 200
        assert client.post("/v1/search", json={"text": "something"}).status_code == 200
        files = {"file": ("film.mp4", uuid4().bytes)}
        assert client.post("/v1/videos", files=files).status_code == 201


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited 20 s for {what}"
        time.sleep(0.05)


def test_uploads_streams_and_events_that_an_owner_holds_open_cost_others_nothing(
    url: str, settings: Settings, database_url: str, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        film = a_video(connection, owner=alice)
        waiting = a_video(connection, owner=alice, status="waiting")
        row = connection.execute("select source_key from public.videos where id = %s", (film,))
        [key] = row.fetchone() or ()
    Storage(settings.storage).put(key, bytes(32 * 1024 * 1024))
    watched = itertools.cycle([f"/v1/videos/{film}/stream", f"/v1/videos/{waiting}/events"])
    kinds: dict[str, tuple[int, Callable[[], socket.socket]]] = {
        "uploads": (UPLOADS, lambda: upload_begun(url, alice)),
        "streams": (
            STREAMS,
            lambda: opened(url, "GET", next(watched), headers_of(alice), b""),
        ),
    }
    with ExitStack() as held:
        for kind, (most, begin) in kinds.items():
            for _ in range(most):
                one = held.enter_context(begin())
                if kind != "uploads":  # which have no answer yet
                    one.settimeout(20)
                    assert b" 200 " in one.recv(15)  # or a later one could take its place
        for kind, (_, begin) in kinds.items():

            def refused(begin: Callable[[], socket.socket] = begin) -> bool:
                with begin() as one:
                    one.settimeout(SOON_S)
                    with suppress(TimeoutError):
                        said = one.recv(4096)
                        return b" 429 " in said and b"retry-after" in said.lower()
                    return False

            until(refused, f"one more of the {kind} to be refused")
        answers_soon(url, bob)
        answers = [httpx.get(f"{url}/v1/videos", headers=headers_of(alice)) for _ in range(3)]
        assert {one.status_code for one in answers} == {200}  # of hers only that kind is full
    until(lambda: _upload(url, alice) == 201, "her uploads to be taken again")


def _upload(url: str, owner: UUID) -> int:
    files = {"file": ("film.mp4", uuid4().bytes)}
    return httpx.post(f"{url}/v1/videos", files=files, headers=headers_of(owner)).status_code


def test_requests_of_an_owner_that_take_long_leave_threads_to_the_others(
    url: str, database_url: str, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        video = a_video(connection, owner=alice)

    def change(_: int) -> httpx.Response:
        path, title = f"{url}/v1/videos/{video}", {"title": "Another title"}
        return httpx.patch(path, json=title, headers=headers_of(alice), timeout=30)

    answers_soon(url, bob)
    with (
        psycopg.connect(database_url) as holding,
        ThreadPoolExecutor(REQUESTS + 4) as pool,
    ):
        holding.execute("select from public.videos where id = %s for update", (video,))
        asked = [pool.submit(change, number) for number in range(REQUESTS + 4)]
        until(lambda: sum(one.done() for one in asked) == 4, "what is too much to be refused")
        refused = [one.result() for one in asked if one.done()]
        for one in refused:
            assert (one.status_code, one.json()["code"]) == (429, "too_many_requests")
            assert one.headers["retry-after"] == "1"
        for _ in range(3):
            answers_soon(url, bob)
        holding.rollback()
        codes = Counter(one.result().status_code for one in asked)
    assert codes[429] == 4
    assert codes.keys() <= {200, 429, 503}  # whose lock did not come in time is told to come again
    assert change(0).status_code == 200


def test_strangers_whose_bodies_do_not_come_take_no_place_from_those_who_ask(
    url: str, bob: UUID
) -> None:
    body = {"Content-Type": "application/json", "Content-Length": "500"}
    with ExitStack() as held:
        for _ in range(2 * MOST):
            held.enter_context(opened(url, "POST", "/v1/search", body, b'{"text": "a'))
        for _ in range(2 * MOST):  # nor those who never say what they want
            held.enter_context(opened(url, "GET", "/v1/videos", {}, b"")).sendall(b"GET / HT")
        # Their beginnings arrive in a burst, in which a moment's 503 is right.
        until(
            lambda: httpx.get(f"{url}/v1/videos", headers=headers_of(bob)).status_code == 200,
            "the burst to be over",
        )
        for _ in range(2):
            answers_soon(url, bob)


@contextmanager
def every_connection_taken(url: str) -> Iterator[None]:
    """All connections of the server are somebody else's, also those that the service had."""
    with ExitStack() as held:

        def hog() -> None:
            with suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(psycopg.connect(url, autocommit=True))

        boss = held.enter_context(psycopg.connect(url, autocommit=True))
        hog()
        end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
        for _ in range(3):
            boss.execute(end, ("scenebook_api",))
            time.sleep(0.1)
            hog()
        yield


def test_without_a_free_connection_crowds_are_told_to_come_again_and_then_served(
    url: str, database_url: str, postgres_server: Server, bob: UUID
) -> None:
    async def crowd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(limits=limits, timeout=20) as client:
            asked = [
                client.get(f"{url}/v1/videos", headers=headers_of(uuid4())) for _ in range(200)
            ]
            return await asyncio.gather(*asked)

    answers_soon(url, bob)
    with every_connection_taken(postgres_server.url("postgres")):
        answers = asyncio.run(crowd())
        assert {one.status_code for one in answers} == {503}
        for one in answers:
            assert int(one.headers["retry-after"]) > 0
            assert one.json()["code"] in ("overloaded", "unavailable")
        assert httpx.get(f"{url}/livez", timeout=SOON_S).status_code == 200
        alone = httpx.get(f"{url}/v1/videos", headers=headers_of(bob), timeout=SOON_S)
        assert alone.status_code == 503
    until(lambda: httpx.get(f"{url}/v1/videos", headers=headers_of(bob)).status_code == 200, "rows")
    answers_soon(url, bob)


def test_a_connection_that_does_not_say_what_it_wants_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.3)

    async def serve() -> list[bytes]:
        async def hello(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps("hello").encode()})

        config = uvicorn.Config(
            hello, http=connections.Connection, lifespan="off", log_config=None, port=0
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            running = asyncio.create_task(server.serve(sockets=[listening]))
            port = listening.getsockname()[1]
            said = []
            for begun in (
                b"",
                b"GET / HTTP/1.1\r\nHo",
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / H",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(begun)
                said.append(await asyncio.wait_for(reader.read(), 10))
                writer.close()
            server.should_exit = True
            await running
        return said

    nothing, half, one_and_a_half = asyncio.run(serve())
    assert nothing == half == b""
    assert b'"hello"' in one_and_a_half

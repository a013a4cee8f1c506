"""Uploads of the client over connections that break, and requests that are refused for a while."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from scenebook.client import (
    ApiError,
    AsyncScenebook,
    QuotaExceeded,
    Scenebook,
    Unavailable,
    steps,
    uploading,
)
from scenebook.settings import Settings
from scenebook.storage import Storage
from tests.pipelines import settings_for
from tests.postgres import Server
from tests.rows import an_owner
from tests.serving import running_api, token_of, with_tokens

SIZE = 9_600_000
CONTENT = bytes(hashlib.sha256(b"seed").digest()) * (SIZE // 32)
PART = 3_000_000
BREAK_AT = 2_000_000


@dataclass(frozen=True)
class Service:
    """A running service and what it stored."""

    url: str
    settings: Settings
    database_url: str

    def owner(self) -> UUID:
        """Somebody new."""
        with psycopg.connect(self.database_url) as connection:
            return an_owner(connection)

    def stored(self, owner: UUID) -> list[bytes]:
        """The files of an owner."""
        storage = Storage(self.settings.storage)
        return [storage.get(key) for key in storage.list_prefix(str(owner))]


@pytest.fixture(scope="module")
def service(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with postgres_server.database() as database_url:
        settings = with_tokens(settings_for(database_url, tmp_path_factory.mktemp("data")))
        with running_api(settings) as url:
            yield Service(url, settings, database_url)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and pauses for files of a test's size."""
    monkeypatch.setattr("scenebook.client.calls.WHOLE_BYTES", 1_000_000)
    monkeypatch.setattr(uploading, "PART_BYTES", PART)
    monkeypatch.setattr(steps, "FIRST_PAUSE_S", 0.05)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENT)
    return path


class Broken:
    """The first parts of an upload, each of which breaks off in the middle."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.seen: Counter[str] = Counter()

    def breaks(self, request: httpx.Request) -> bool:
        self.seen[request.method] += 1
        breaks = request.method == "PATCH" and self.left > 0
        self.left -= breaks
        return breaks


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends in a broken connection."""

    def __init__(self, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self.body, httpx.SyncByteStream)
        sent = 0
        for piece in self.body:
            yield piece
            sent += len(piece)
            if sent > BREAK_AT:
                raise httpx.ReadError("the network is gone")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.body, httpx.AsyncByteStream)
        sent = 0
        async for piece in self.body:
            yield piece
            sent += len(piece)
            if sent > BREAK_AT:
                raise httpx.ReadError("the network is gone")


class BreakingTransport(httpx.HTTPTransport):
    """A real transport whose connections break."""

    def __init__(self, broken: Broken) -> None:
        super().__init__()
        self.broken = broken

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.broken.breaks(request):
            request.stream = Cut(request.stream)
        return super().handle_request(request)


class AsyncBreakingTransport(httpx.AsyncHTTPTransport):
    """The same for an event loop."""

    def __init__(self, broken: Broken) -> None:
        super().__init__()
        self.broken = broken

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.broken.breaks(request):
            request.stream = Cut(request.stream)
        return await super().handle_async_request(request)


def test_a_broken_upload_goes_on_by_itself_and_never_holds_the_file(
    service: Service, film: Path
) -> None:
    alice, bob = service.owner(), service.owner()
    broken = Broken(3)
    told: list[tuple[int, int]] = []
    transport = BreakingTransport(broken)
    with Scenebook(service.url, token_of(alice), transport=transport) as client:
        tracemalloc.start()
        video = client.upload(
            film, title="A film", metadata={"a": 1}, progress=lambda *at: told.append(at)
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (video.title, video.bytes, video.metadata) == ("A film", SIZE, {"a": 1})
    assert peak < 3_000_000
    assert broken.seen["PATCH"] > SIZE // PART
    assert broken.seen["HEAD"] >= 3
    assert told[-1] == (SIZE, SIZE)
    # Each break costs at most what had not arrived yet.
    assert sum(now < before for (before, _), (now, _) in pairwise(told)) <= broken.seen["HEAD"]
    with Scenebook(service.url, token_of(bob)) as other:
        assert list(other.videos()) == []
    assert service.stored(alice) == [CONTENT]


def test_so_it_does_in_an_event_loop(service: Service, film: Path) -> None:
    alice, broken = service.owner(), Broken(2)

    async def upload() -> int | None:
        transport = AsyncBreakingTransport(broken)
        async with AsyncScenebook(service.url, token_of(alice), transport=transport) as client:
            return (await client.upload(film)).bytes

    assert asyncio.run(upload()) == SIZE
    assert broken.seen["HEAD"] >= 2
    assert service.stored(alice) == [CONTENT]


def test_another_call_with_the_same_key_goes_on_with_the_upload(
    service: Service, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, transport = service.owner(), BreakingTransport(Broken(1))
    with monkeypatch.context() as impatient:
        impatient.setattr(steps, "MOST_REPEATS", 0)
        with (
            Scenebook(service.url, token_of(alice), transport=transport) as client,
            pytest.raises(Unavailable),
        ):
            client.upload(film, idempotency_key="film")
    told: list[int] = []
    with Scenebook(service.url, token_of(alice)) as client:
        client.upload(film, idempotency_key="film", progress=lambda at, _: told.append(at))
        assert len(list(client.videos())) == 1
    assert told[-1] == SIZE
    assert service.stored(alice) == [CONTENT]


class Refusing(httpx.BaseTransport):
    """A service that is busy at first: what it is asked, it counts."""

    def __init__(self, *refusals: tuple[int, str]) -> None:
        self.refusals = list(refusals)
        self.keys: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.keys.append(request.headers.get("idempotency-key"))
        if self.refusals:
            status, code = self.refusals.pop(0)
            problem = {"code": code, "detail": "Not now."}
            return httpx.Response(status, json=problem, headers={"Retry-After": "0"})
        return httpx.Response(200, json=[])


BUSY = [(503, "unavailable"), (429, "rate_limited"), (409, "request_in_progress")]


@pytest.mark.parametrize("refusal", BUSY)
def test_what_can_be_repeated_without_harm_is_repeated(refusal: tuple[int, str]) -> None:
    transport = Refusing(refusal, refusal)
    with Scenebook("http://service", transport=transport) as client:
        client.run(steps.sent(steps.Ask("GET", "/v1/videos")))
        assert transport.keys == [None] * 3
        headers = {steps.KEY: uploading.new_key()}
        transport.refusals = [refusal]
        client.run(steps.sent(steps.Ask("POST", "/v1/videos", headers=headers)))
        assert len(set(transport.keys[3:])) == 1
        assert len(transport.keys) == 5


def test_what_could_do_harm_or_is_of_no_use_is_not_repeated() -> None:
    post = steps.Ask("POST", "/v1/videos/x/cancel")
    get = steps.Ask("GET", "/v1/videos")
    with (
        Scenebook("http://service", transport=Refusing((503, "unavailable"))) as client,
        pytest.raises(Unavailable, match="Not now"),
    ):
        client.run(steps.sent(post))
    with (
        Scenebook("http://service", transport=Refusing((429, "quota_exceeded"))) as client,
        pytest.raises(QuotaExceeded),
    ):
        client.run(steps.sent(get))


def test_a_wait_that_is_too_long_is_the_callers_to_decide() -> None:
    error = Unavailable(503, "unavailable", "Later.", retry_after_s=3600)
    assert steps.pause_s(error, 0) is None
    assert steps.pause_s(Unavailable(503, "unavailable", "Later.", retry_after_s=7), 0) == 7


def test_creations_carry_a_key_of_their_own() -> None:
    transport = Refusing()
    with Scenebook("http://service", transport=transport) as client:
        for _ in range(2):
            with pytest.raises(ApiError, match="as expected"):
                client.import_url("https://host/film.mp4")
    assert None not in transport.keys
    assert len(set(transport.keys)) == 2

"""What holds for every request: its name, its size, its errors, its headers, its log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from uuid import UUID

import pytest
import structlog
from fastapi import Body, FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from api import door, problems
from api.app import create_app
from api.bodies import most_bytes
from api.cors import origins_of
from api.hosts import Hosts
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings
from tests.serving import headers_of

SECRET = "a secret that nobody may see"


def a_service(**changes: object) -> FastAPI:
    """An application behind the door, with routes that misbehave."""
    app = FastAPI()
    problems.install(app)
    door.install(app, Settings(request_max_bytes=1000, **changes))  # type: ignore[arg-type]
    app.state.open = asyncio.Event()

    @app.get("/breaks/{name}")
    def breaks(name: str) -> None:
        raise RuntimeError(SECRET)

    @app.get("/breaks-late")
    async def breaks_late() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a piece"
            raise RuntimeError(SECRET)

        return StreamingResponse(pieces())

    @app.post("/echo")
    async def echo(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        return body

    @app.post("/upload")
    @most_bytes(None)
    async def upload(request: Request) -> int:
        return sum([len(piece) async for piece in request.stream()])

    @app.get("/waits")
    async def waits() -> str:
        await app.state.open.wait()
        return "done"

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b": hello\n\n"
            await app.state.open.wait()

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.get("/livez")
    async def livez() -> str:
        return structlog.contextvars.get_contextvars()["request_id"]

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the misbehaving application; what escapes from it fails the test."""
    # Without a terminal's coloured tracebacks, which take seconds.
    with structlog.testing.capture_logs(), TestClient(a_service()) as made:
        yield made


def test_a_sane_request_id_is_kept_and_any_other_replaced(client: TestClient) -> None:
    kept = client.get("/livez", headers={"X-Request-Id": "from-the.proxy_1"})
    assert kept.headers["x-request-id"] == kept.json() == "from-the.proxy_1"
    for insane in ("", "a b", "x" * 129, "<script>", "a\tb"):
        made = client.get("/livez", headers={"X-Request-Id": insane})
        assert made.headers["x-request-id"] == made.json()
        assert made.json() not in ("", insane)
    assert structlog.contextvars.get_contextvars() == {}


def test_an_error_that_nobody_expected_says_nothing_but_its_request_id(client: TestClient) -> None:
    answer = client.get("/breaks/it", headers={"X-Request-Id": "the-one"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.headers["x-request-id"] == "the-one"
    assert "the-one" in answer.json()["detail"]
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text


def test_an_answer_that_breaks_in_the_middle_is_cut_off(client: TestClient) -> None:
    with pytest.raises(RuntimeError, match=SECRET):
        client.get("/breaks-late")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/echo", 405, "method_not_allowed"),
        ("BREW", "/echo", 405, "method_not_allowed"),
        ("TRACE", "/livez", 405, "method_not_allowed"),
        ("GET", "/livez?q=%zz", 400, "malformed_url"),
        ("GET", "/livez?q=100%", 400, "malformed_url"),
        ("GET", "/breaks/%ff%fe", 400, "malformed_url"),
        ("GET", "/livez?q=%c3%28", 400, "malformed_url"),
        ("GET", "/livez?q=" + "a" * 17_000, 414, "url_too_long"),
    ],
)
def test_what_no_route_takes_is_a_problem(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


def test_headers_that_are_too_large_are_refused(client: TestClient) -> None:
    large = client.get("/livez", headers={"X-Large": "a" * 40_000})
    many = client.get("/livez", headers={f"X-{number}": "a" for number in range(200)})
    assert large.status_code == many.status_code == 431


def test_a_body_is_counted_whatever_its_headers_say(client: TestClient) -> None:
    small = json.dumps({"text": "a" * 900})
    large = json.dumps({"text": "a" * 1000}).encode()
    json_type = {"Content-Type": "application/json"}
    assert client.post("/echo", content=small, headers=json_type).status_code == 200
    declared = client.post("/echo", content=large, headers=json_type)
    streamed = client.post("/echo", content=iter([large[:600], large[600:]]), headers=json_type)
    lying = client.post("/echo", content=large, headers=json_type | {"Content-Length": "5"})
    for answer in (declared, streamed, lying):
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.headers["connection"] == "close"
    # A route that counts for itself gets everything.
    assert client.post("/upload", content=b"a" * 5000).json() == 5000


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_S", 0.1)
    assert asyncio.run(_half_a_body(a_service())) == 408


async def _half_a_body(app: FastAPI) -> int:
    pieces = iter([{"type": "http.request", "body": b'{"text"', "more_body": True}])
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> Any:
        for piece in pieces:
            return piece
        await asyncio.sleep(3600)

    scope = {"type": "http", "method": "POST", "path": "/echo", "raw_path": b"/echo"}
    scope |= {"query_string": b"", "headers": [(b"content-type", b"application/json")]}
    scope |= {"http_version": "1.1", "scheme": "http", "server": ("test", 80)}
    await app(scope | {"client": ("127.0.0.1", 1)}, receive, send)
    return statuses[0]


def test_json_that_cannot_be_is_a_problem_and_no_500(client: TestClient) -> None:
    for body in (
        b"", b"{", b"[" * 900, b"\xff\xfe", b'{"a": ' + b"1" * 900 + b"}", b"null", b"[1]", b"NaN",
    ):  # fmt: skip
        answer = client.post("/echo", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), body
        if answer.status_code != 200:
            assert answer.json()["code"] in ("malformed_request", "invalid_input")


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for path in ("/livez", "/nothing", "/breaks/it"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_more_requests_than_there_is_room_for_are_sent_away() -> None:
    asyncio.run(_crowd(a_service(api_max_concurrency=2)))


async def _crowd(app: FastAPI) -> None:
    app.state.open = asyncio.Event()
    asked = {"scheme": "http", "server": ("test", 80), "client": ("127.0.0.1", 1)}

    async def get(path: str) -> int:
        """The status, once the whole answer is there."""
        statuses: list[int] = []
        pieces = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> Any:
            for piece in pieces:
                return piece
            await asyncio.sleep(3600)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"", "headers": [], "http_version": "1.1", **asked}
        await app(scope, receive, send)
        return statuses[0]

    # Event streams are many and do little: they have places of their own.
    streams = []
    for _ in range(8):
        streams.append(asyncio.create_task(get("/events")))
        await asyncio.sleep(0.01)
    assert await get("/events") == 503
    waiting = [asyncio.create_task(get("/waits")) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert await get("/waits") == 503
    assert await get("/livez") == 200
    app.state.open.set()
    assert await asyncio.gather(*waiting, *streams) == [200] * 10
    assert await get("/waits") == 200


def test_the_log_has_a_line_a_request_without_the_query(client: TestClient) -> None:
    with structlog.testing.capture_logs() as lines:
        client.get("/breaks/it?q=what+somebody+searches", headers={"X-Request-Id": "the-one"})
        client.get("/livez")
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["route"] == "/breaks/{name}"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/breaks/it", 500)
    assert "searches" not in repr(lines)


def test_requests_are_counted_by_their_template(client: TestClient) -> None:
    def count(route: str, status: str) -> float:
        labels = {"route": route, "method": "GET", "status": status}
        return REGISTRY.get_sample_value("scenebook_requests_total", labels) or 0

    broken, unmatched = count("/breaks/{name}", "500"), count("unmatched", "404")
    for name in ("one", "two"):
        client.get(f"/breaks/{name}")
        client.get(f"/{name}")
    assert count("/breaks/{name}", "500") == broken + 2
    assert count("unmatched", "404") == unmatched + 2


def test_only_the_pages_that_are_named_may_call() -> None:
    ours = "https://app.example.com"
    with TestClient(a_service(cors_origins=f"{ours}, http://localhost:3000")) as client:
        asked = {"Origin": ours, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization, x-client-info"
        preflight = client.options("/echo", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == ours
        assert "x-client-info" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        refused = client.get("/nothing", headers={"Origin": ours})
        assert refused.headers["access-control-allow-origin"] == ours  # also for errors
        assert "X-Request-Id" in refused.headers["access-control-expose-headers"]
        foreign = client.get("/livez", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS"):
        origins_of(Settings(cors_origins="https://app.example.com/path"))
    assert origins_of(Settings()) == []


def test_only_the_names_that_are_listed_are_answered() -> None:
    listed = "api.example.com, *.railway.internal, [::1]"
    with TestClient(a_service(allowed_hosts=listed)) as client:

        def asked(host: str, path: str = "/nothing") -> str:
            return str(client.get(path, headers={"Host": host}).json()["code"])

        for ours in ("api.example.com", "API.example.com:8000", "a.railway.internal", "[::1]:80"):
            assert asked(ours) == "not_found"
        for foreign in (
            "evil.example", "api.example.com.evil.example", "xapi.example.com", "railway.internal",
            "", "api.example.com@evil.example", "evil.example:80:80",
        ):  # fmt: skip
            assert asked(foreign) == "host_not_allowed"
        for checking in ("healthcheck.railway.app", "localhost", "10.0.0.1"):
            assert client.get("/livez", headers={"Host": checking}).status_code == 200
        assert asked("healthcheck.railway.app", "/metrics") == "host_not_allowed"
    with pytest.raises(ConfigurationError, match="ALLOWED_HOSTS"):
        Hosts(Settings(allowed_hosts="https://api.example.com"))
    with TestClient(a_service()) as client:
        assert client.get("/livez", headers={"Host": "whatever"}).status_code == 200


def test_pages_about_the_service_can_be_left_out(settings: Settings) -> None:
    pages = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs/favicon.png")
    for shown, status in ((True, 200), (False, 404)):
        app = create_app(settings.model_copy(update={"api_docs": shown}))
        with structlog.testing.capture_logs():
            client = TestClient(app)
            assert {client.get(page).status_code for page in pages} == {status}


def test_the_real_service_says_whose_a_request_was(api: TestClient, alice: UUID) -> None:
    with structlog.testing.capture_logs() as lines:
        api.get("/v1/keys", headers=headers_of(alice))
        api.get("/v1/keys")
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["owner_id"] for line in requests] == [str(alice), None]
    assert [line["route"] for line in requests] == ["/v1/keys", "/v1/keys"]

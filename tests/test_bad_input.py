"""What nobody can mean is refused with a documented status and a stable code, and stores nothing.

Beside what the tests of each route refuse: what is the same for many of them.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ALICE, BOB
from tests.matrix import FUNCTIONS, calls, direction
from tests.postgres import Server
from tests.serving import headers_of
from tests.tenants import Tenants, everything_of, two_tenants

# What a body is refused with: as it is, or for what is in it.
REFUSED = ((422, "invalid_input"), (400, "malformed_request"))


@pytest.fixture(scope="module")
def tenants(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with (
        postgres_server.database() as url,
        two_tenants(url, tmp_path_factory.mktemp("data")) as made,
    ):
        made.api.app.state.services.search_log.close()  # type: ignore[attr-defined]
        before = everything_of(made, ALICE)
        yield made
        assert everything_of(made, ALICE) == before, "something was stored"


def refusal(tenants: Tenants, method: str, url: str, **request: Any) -> tuple[int, str]:
    """Status and code of a request that is refused, in the form that the page describes."""
    headers = headers_of(ALICE) | request.pop("headers", {})
    answer = tenants.api.request(method, url, headers=headers, **request)
    assert 400 <= answer.status_code < 500, (url, str(request)[:200], answer.text[:300])
    if url.startswith("/rest/"):
        assert set(answer.json()) == {"code", "message", "details", "hint"}
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text
    return answer.status_code, answer.json()["code"]


def sent(tenants: Tenants, method: str, url: str, text: str) -> tuple[int, str]:
    """A body as it is written here, which no library would write."""
    headers = {"Content-Type": "application/json"}
    return refusal(tenants, method, url, content=text.encode(), headers=headers)


URLS = [
    "file:///etc/passwd",
    "ftp://example.org/film.mp4",
    "javascript:alert(1)",
    "http:///film.mp4",
    "http://localhost/film.mp4",
    "http://127.0.0.2/film.mp4",
    "http://2130706433/film.mp4",
    "http://0x7f.1/film.mp4",
    "http://[::1]/film.mp4",
    "http://[::ffff:10.0.0.1]/film.mp4",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/film.mp4",
    "http://metadata.google.internal/",
    "http://example.org:22/film.mp4",
    "http://user:password@example.org/film.mp4",
    "http://example.org\\@127.0.0.1/film.mp4",
    "http://example.org/\nHost: inside",
    "http://exämple.org/",
    "http://example.org/" + "x" * 3000,
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_leads_inside_is_refused_wherever_one_is_taken(
    tenants: Tenants, url: str
) -> None:
    endpoint = f"/v1/webhooks/{tenants.things[ALICE].endpoint_id}"
    places = (("POST", "/v1/videos"), ("POST", "/v1/webhooks"), ("PATCH", endpoint))
    for method, place in places:
        code = "invalid_input" if len(url) > 2000 else "url_not_allowed"
        assert refusal(tenants, method, place, json={"url": url}) == (422, code), place


NUMBERS = ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000, '"7"', "7.5", "null", "[7]", "true"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_none_is_refused(tenants: Tenants, number: str) -> None:
    bodies = [
        '{"text": "red", "threshold": %s}',
        '{"text": "red", "weights": {"lexical": %s}}',
        '{"text": "red", "filters": {"to_ms": %s}}',
        '{"text": "red", "max_per_video": %s}',
        '{"text": "red", "limit": %s}',
    ]
    # Of some fields these are values: null is none, and JSON's numbers are floats to some.
    fine = {"null": (0, 2, 3), '"7"': (1, 2, 3, 4), "7.5": (1,), "true": (0, 1, 2, 3, 4)}
    for place, body in enumerate(bodies):
        if place not in fine.get(number, ()):
            text = body % number
            assert sent(tenants, "POST", "/v1/search", text) in REFUSED, text


TEXTS = [r"\u0000", r"\ud800", r"\udc00\ud800", r"a\u0000b"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_cannot_be_stored_is_refused(tenants: Tenants, text: str) -> None:
    one = tenants.things[ALICE]
    places = [
        ("POST", "/v1/search", '{"text": "%s"}'),
        ("POST", "/v1/search", '{"%s": 1}'),
        ("POST", "/v1/search", '{"text": "a", "filters": {"tags": ["%s"]}}'),
        ("POST", "/v1/search", '{"text": "a", "page_token": "%s"}'),
        ("POST", "/v1/search", '{"text": "a", "channels": ["%s"]}'),
        ("POST", "/v1/keys", '{"name": "a%s"}'),
        ("POST", "/v1/videos", '{"url": "https://example.org/%s"}'),
        ("POST", "/v1/videos", '{"url": "http://127.0.0.1:9/a", "language": "en%s"}'),
        ("POST", "/v1/webhooks", '{"url": "https://example.org/%s"}'),
        ("PATCH", f"/v1/videos/{one.video_id}", '{"title": "a%s"}'),
        ("PATCH", f"/v1/videos/{one.video_id}", '{"metadata": {"%s": 1}}'),
        ("PATCH", f"/v1/videos/{one.video_id}", '{"metadata": {"a": ["%s"]}}'),
        ("POST", f"/v1/videos/{one.video_id}/retry", '{"stage": "%s"}'),
    ]
    for method, url, body in places:
        found = sent(tenants, method, url, body % text)
        wanted = (422, "unknown_language") if "language" in body else (422, "invalid_input")
        assert found in (wanted, (422, "invalid_input"), (400, "invalid_token")), (url, body)


BODIES = ["", "{", "[]", "null", '"text"', "[" * 100_000, '{"a":' * 50_000, "7"]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:6])
def test_a_body_that_is_no_object_is_refused(tenants: Tenants, body: str) -> None:
    video = tenants.things[ALICE].video_id
    for method, url in (
        ("POST", "/v1/search"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/videos"),
        ("POST", "/v1/webhooks"),
        ("PATCH", f"/v1/videos/{video}"),
    ):
        assert sent(tenants, method, url, body) in REFUSED, url


@pytest.mark.parametrize("name", ["owner_id", "id", "status", "bytes", "created_at", "disabled_at"])
def test_what_only_the_service_may_set_cannot_be_sent(tenants: Tenants, name: str) -> None:
    one = tenants.things[ALICE]
    for method, url, body in (
        ("POST", "/v1/search", {"text": "a"}),
        ("POST", "/v1/keys", {"name": "a"}),
        ("POST", "/v1/videos", {"url": "https://example.org/film.mp4"}),
        ("POST", "/v1/webhooks", {"url": "https://example.org/hook"}),
        ("PATCH", f"/v1/webhooks/{one.endpoint_id}", {"enabled": True}),
        ("PATCH", f"/v1/videos/{one.video_id}", {"title": "a"}),
        ("POST", f"/v1/videos/{one.video_id}/retry", {}),
    ):
        sneaky = json.dumps(body | {name: str(BOB)})
        assert sent(tenants, method, url, sneaky) == (422, "invalid_input"), url
    film = {"file": ("film.mp4", b"a film of its own"), name: (None, str(BOB))}
    assert refusal(tenants, "POST", "/v1/videos", files=film) == (422, "invalid_multipart")


LIMITS = ["0", "-1", "101", "1e3", "9" * 400, "NaN", "", "٧", "1 or 1=1", "\0"]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_out_of_bounds_is_refused_in_every_list(tenants: Tenants, limit: str) -> None:
    one = tenants.things[ALICE]
    for url in (
        "/v1/videos",
        f"/v1/videos/{one.video_id}/scenes",
        f"/v1/scenes/{one.scene_id}/similar",
        f"/v1/webhooks/{one.endpoint_id}/deliveries",
        "/search/quick?q=red",
        "/search/multimodal/quick?q=red",
    ):
        asked = dict(pair.split("=") for pair in url.partition("?")[2].split("&") if pair)
        params = asked | {"limit": limit}
        found = refusal(tenants, "GET", url.partition("?")[0], params=params)
        assert found == (422, "invalid_input"), url


PATHS = [
    "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff", "a%0d%0aX: y", "'; drop table videos; --",
    "00000000-0000-0000-0000-00000000000g", "{video_id}", "%", "x" * 9000,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:12])
def test_a_path_that_is_no_id_is_refused(tenants: Tenants, path: str) -> None:
    for url in (
        "/v1/videos/{}", "/v1/videos/{}/stream", "/v1/videos/{}/events", "/v1/scenes/{}/similar",
        "/v1/keyframes/{}", "/v1/uploads/{}", "/v1/webhooks/{}/deliveries", "/rest/v1/rpc/{}",
    ):  # fmt: skip
        headers = headers_of(ALICE)
        answer = tenants.api.get(url.format(path), headers=headers)
        assert answer.status_code in (400, 404, 422), (url, answer.text[:200])
        assert answer.json()["code"]


# --- pictures -------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checked)


def a_bomb(side: int) -> bytes:
    """A PNG of few bytes, and of one byte for every eight of its many pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


PICTURES = {
    "many pixels in few bytes": a_bomb(30_000),
    "more pixels than there are numbers": a_bomb(8)[:16] + b"\x7f\xff\xff\xff" * 2 + a_bomb(8)[24:],
    "a part of one": a_bomb(64)[:40],
    "nothing": b"",
    "a page": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "a program": b"%!PS\n(r) file",
    "not what it says": b"GIF89a" + bytes(100),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_is_none_or_too_much_is_refused(tenants: Tenants, name: str) -> None:
    content = PICTURES[name]
    assert len(content) < 200_000
    files = {"file": ("../../a.png", content, "image/png")}
    wanted = (422, "invalid_query")
    assert refusal(tenants, "POST", "/v1/search/image", files=files) == wanted
    body = {"image": base64.b64encode(content).decode()}
    assert refusal(tenants, "POST", "/v1/search", json=body) == wanted
    good = {"text": "red", "channels": ["visual_clip"]}
    answer = tenants.api.post("/v1/search", json=good, headers=headers_of(ALICE))
    assert answer.json()["degraded"] == []


# --- SQL functions through their door -------------------------------------------------------------

HOSTILE: dict[str, list[Any]] = {
    "uuid": ["", "x", "\0", "'; select 1 --", 7, {}],
    "uuid[]": ["x", ["x"], {}, 7, [[["x"]]]],
    "public.vector": [[0, 0], [1] * 20_000, "[NaN]", "[1e39]", {"a": 1}, "'; select 1"],
    "integer": [-1, 10**30, "1e999", "NaN", "x", [1]],
    "double precision": ["x", "1e999", {}, "NaN"],
    "jsonb": ['"\0"'],
    "timestamp with time zone": ["never", "99999999-01-01", 10**20],
    "boolean": ["perhaps", 7],
    "text": ["\0", "\ud800"],
}


def test_every_argument_of_every_function_refuses_what_its_type_is_not(tenants: Tenants) -> None:
    one = tenants.things[ALICE]
    functions = tenants.api.app.state.services.functions.all()  # type: ignore[attr-defined]
    assert {f"public.{name}" for name in functions} == {
        name for name in FUNCTIONS if name.startswith("public.")
    }
    for name, function in functions.items():
        good = next(calls(f"public.{name}", one, one))
        for argument, declared in function.arguments.items():
            kind = declared.type.removeprefix("public.")
            for value in HOSTILE.get(kind, HOSTILE.get(f"public.{kind}", [])):
                body = json.dumps({**good, argument: value}, default=str)
                status, code = sent(tenants, "POST", f"/rest/v1/rpc/{name}", body)
                assert status == 400, (name, argument, value)
                assert code[:2] in ("22", "54", "PT", "PG"), (name, argument, value, code)


QUERIES = [
    "'; drop table public.videos; --", "a & | ! ( :* <-> b", '"', "\\", "%", "((((", ":*", "<0>",
    "a:ABCD*", "!!!", "' || pg_sleep(9) || '", "or or or", "-", "a\u202eb", "🎬" * 500,
]  # fmt: skip


@pytest.mark.parametrize("text", QUERIES)
def test_no_text_is_a_command_in_any_function(tenants: Tenants, text: str) -> None:
    asked = {"query_text": text, "filter_user_id": str(ALICE)}
    near = {"query_visual_clip_embedding": direction("visual_clip")}
    ids = {"scene_ids": [str(tenants.things[ALICE].scene_id)]}
    for function, more in (
        ("search_scenes_by_text", {}), ("search_scenes_hybrid", near), ("highlight_scenes", ids),
    ):  # fmt: skip
        url = f"/rest/v1/rpc/{function}"
        answer = tenants.api.post(url, json=asked | more, headers=headers_of(ALICE))
        assert answer.status_code == 200, answer.text


def test_keys_that_cannot_be_remembered_are_refused(tenants: Tenants) -> None:
    body = {"url": "http://127.0.0.1:9/again.mp4"}
    for key in ("", "x" * 201):
        headers = {"Idempotency-Key": key}
        found = refusal(tenants, "POST", "/v1/videos", json=body, headers=headers)
        assert found == (422, "invalid_input")

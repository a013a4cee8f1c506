"""Uploads in one request: what is stored, what is refused, and what another owner can notice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

from api import arriving
from scenebook.errors import TooSlow
from scenebook.incoming import title_of
from scenebook.model import VideoStatus
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import get_video
from tests.pipelines import Pipeline
from tests.serving import api_in_process, headers_of, running_api

FILM = Path(__file__).parent / "media" / "edge" / "rotate_90.mov"
VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning\n"


def upload(
    api: TestClient | httpx.Client,
    owner: UUID,
    content: bytes = b"a film",
    *,
    name: str = "film.mp4",
    transcript: tuple[str, bytes] | None = None,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> Any:
    """One multipart request."""
    files = {"file": (name, content, "video/mp4")}
    if transcript is not None:
        files["transcript"] = (*transcript, "text/vtt")
    return api.post(
        "/v1/videos", files=files, data=fields, headers=headers_of(owner) | (headers or {})
    )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of this test and the processes that it starts."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


def in_transit(temporary: Path) -> list[Path]:
    """Private directories of uploads that are being received."""
    found = temporary.glob("scenebook-*")
    return [one for one in found if "-child-" not in one.name]  # of a worker in this process


def test_an_upload_is_stored_as_it_is_and_indexed(
    api: TestClient, alice: UUID, pipeline: Pipeline, temporary: Path
) -> None:
    content = FILM.read_bytes()
    answer = upload(
        api,
        alice,
        content,
        transcript=("words.vtt", VTT),
        title="Morning",
        language="en",
        metadata='{"camera": 2}',
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/v1/videos/{body['id']}"
    assert body["created"] is True
    assert body["title"] == "Morning"
    assert body["language"] == "english"
    assert body["metadata"] == {"camera": 2}
    pipeline.work()
    video = get_video(pipeline.tools.db, owner_id=alice, video_id=UUID(body["id"]))
    assert video.status in (VideoStatus.READY, VideoStatus.PARTIAL)
    assert video.content_hash == hashlib.sha256(content).hexdigest()
    assert pipeline.tools.storage.get(video.source_key) == content
    assert video.transcript_key is not None
    assert pipeline.tools.storage.get(video.transcript_key) == VTT
    assert video.metadata["own"] == {"camera": 2}
    assert in_transit(temporary) == []


def test_the_same_bytes_are_one_video_of_an_owner_and_unknown_to_another(
    api: TestClient, alice: UUID, bob: UUID
) -> None:
    first = upload(api, alice)
    again = upload(api, alice, title="Another title")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["created"] is False
    bobs = upload(api, bob)
    assert bobs.status_code == 201
    assert bobs.json()["id"] != first.json()["id"]
    assert set(bobs.json()) == set(first.json())
    assert api.get(f"/v1/videos/{first.json()['id']}", headers=headers_of(bob)).status_code == 404


def test_words_that_differ_from_the_stored_ones_are_a_conflict(
    api: TestClient, alice: UUID
) -> None:
    assert upload(api, alice, transcript=("a.vtt", VTT)).status_code == 201
    assert upload(api, alice, transcript=("a.vtt", VTT)).status_code == 200
    answer = upload(api, alice, transcript=("a.vtt", VTT + b"\n00:02.000 --> 00:03.000\nBye\n"))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\film.mp4", "film.mp4"),
        ("/", "untitled"),
        ("..", "untitled"),
        ("nul\0byte.mp4", "nulbyte.mp4"),
        ("right\u202eto\u2066left.mp4", "righttoleft.mp4"),
        ("two\r\nlines.mp4", "two lines.mp4"),
        ("half \ud800 a pair.mp4", "half a pair.mp4"),
        ("-i x", "-i x"),
        ("", "untitled"),
        ("a%04d.png", "a%04d.png"),
        ("x" * 5000, "x" * 500),
    ],
)
def test_a_file_name_becomes_a_harmless_title(name: str, title: str) -> None:
    assert title_of(name) == title


def test_a_file_name_is_never_a_path(api: TestClient, alice: UUID, settings: Settings) -> None:
    answer = upload(api, alice, name="../../../" + "ä" * 4000 + "/../пример.mp4")
    assert answer.status_code == 201, answer.text
    assert answer.json()["title"] == "пример.mp4"
    keys = Storage(settings.storage).list_prefix(str(alice))
    assert list(keys) == [f"{alice}/{answer.json()['id']}/source"]


def raw(boundary: str, *parts: tuple[str, bytes], end: bool = True) -> bytes:
    """A form as bytes, with headers as they are given."""
    body = b"".join(
        f"--{boundary}\r\n{headers}\r\n\r\n".encode() + content + b"\r\n"
        for headers, content in parts
    )
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


FILE_PART = ('Content-Disposition: form-data; name="file"; filename="a.mp4"', b"bytes")
HUGE_HEADER = ("Content-Disposition: form-data; name=file; x=" + "y" * 1_000_000, b"bytes")
TITLE = 'Content-Disposition: form-data; name="title"'
MULTIPART = "multipart/form-data; boundary=b"


MALFORMED = [
    ("multipart/form-data", raw("b", FILE_PART), 422, "invalid_multipart"),
    ("multipart/form-data; boundary=" + "b" * 300, raw("b"), 422, "invalid_multipart"),
    (MULTIPART, raw("c", FILE_PART), 422, "invalid_multipart"),
    (MULTIPART, b"", 422, "invalid_multipart"),
    (MULTIPART, raw("b", FILE_PART, end=False), 422, "invalid_multipart"),
    (MULTIPART, raw("b", FILE_PART, FILE_PART), 422, "invalid_multipart"),
    (MULTIPART, raw("b", HUGE_HEADER), 422, "invalid_multipart"),
    (MULTIPART, raw("b", ("X: y", b"z")), 422, "invalid_multipart"),
    (MULTIPART, raw("b", (TITLE, b"a")), 422, "file_missing"),
    (MULTIPART, raw("b", (FILE_PART[0], b"")), 422, "empty_file"),
    (MULTIPART, raw("b", FILE_PART, (TITLE, b"\xff")), 422, "invalid_input"),
    (MULTIPART, raw("b", FILE_PART, (TITLE, b"a\0")), 422, "invalid_input"),
    (MULTIPART, raw("b", (TITLE, b"x" * 70_000)), 413, "too_large"),
    ("text/plain", b"bytes", 415, "unsupported_media_type"),
    ("", b"bytes", 415, "unsupported_media_type"),
    ("application/json", b"{", 422, "invalid_input"),
    ("application/json", b'{"url": "https://a.example", "owner_id": 1}', 422, "invalid_input"),
]  # fmt: skip


def test_a_malformed_upload_says_what_is_wrong_and_stores_nothing(
    api: TestClient, alice: UUID, settings: Settings, temporary: Path
) -> None:
    for kind, body, status, code in MALFORMED:
        headers = headers_of(alice) | ({"Content-Type": kind} if kind else {})
        answer = api.post("/v1/videos", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (kind, body[:200])
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/videos", headers=headers_of(alice)).json()["data"] == []
    assert Storage(settings.storage).list_prefix(str(alice)) == {}
    assert in_transit(temporary) == []


FIELDS: list[tuple[dict[str, str], tuple[str, bytes] | None, str]] = [
    ({"metadata": "[1]"}, None, "invalid_input"),
    ({"metadata": '{"a": NaN}'}, None, "invalid_input"),
    ({"metadata": "[" * 20_000}, None, "invalid_input"),
    ({"metadata": json.dumps({"a": "\0"})}, None, "invalid_input"),
    ({"language": "klingon"}, None, "unknown_language"),
    ({"owner_id": "x"}, None, "invalid_multipart"),
    ({}, ("words.vtt", b"\xff\xfe\x00no words"), "invalid_subtitles"),
]


def test_fields_that_cannot_be_are_refused(api: TestClient, alice: UUID) -> None:
    for fields, transcript, code in FIELDS:
        answer = upload(api, alice, transcript=transcript, **fields)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert api.get("/v1/videos", headers=headers_of(alice)).json()["data"] == []


def test_what_is_larger_than_the_limits_is_refused_with_or_without_a_length(
    settings: Settings, alice: UUID
) -> None:
    small = settings.model_copy(update={"media_max_bytes": 100_000, "transcript_max_bytes": 1000})

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(10_000):
            yield b"x" * 10_000

    with api_in_process(small) as api:
        told = upload(api, alice, b"x" * 2_000_000)
        slightly = upload(api, alice, b"x" * 100_001)
        just = upload(api, alice, b"x" * 100_000)
        words = upload(api, alice, transcript=("a.vtt", VTT + b"\n" * 1000))
        untold = api.post(
            "/v1/videos",
            content=endless(),
            headers=headers_of(alice) | {"Content-Type": "multipart/form-data; boundary=b"},
        )
    assert [one.status_code for one in (told, slightly, untold, words)] == [413] * 4
    assert just.status_code == 201


def test_a_client_that_goes_away_leaves_nothing(
    settings: Settings, alice: UUID, temporary: Path
) -> None:
    with running_api(settings) as url:
        host, port = url.removeprefix("http://").split(":")
        token = headers_of(alice)["Authorization"]
        with socket.create_connection((host, int(port))) as client:
            client.sendall(
                f"POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n"
                '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
            )
            client.sendall(b"x" * 3_000_000)
            wait_for(lambda: in_transit(temporary))
        wait_for(lambda: not in_transit(temporary))
        assert httpx.get(f"{url}/v1/videos", headers=headers_of(alice)).json()["data"] == []


def test_a_client_that_sends_nothing_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "SILENCE_S", 0.01)

    async def silence() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def read() -> None:
        async for _ in arriving.arriving(Request({"type": "http"}, silence)):
            pass

    with pytest.raises(TooSlow):
        asyncio.run(read())


def wait_for(condition: Any) -> None:
    for _ in range(400):
        if condition():
            return
        threading.Event().wait(0.025)
    raise AssertionError("waited 10 s")


def test_fifty_parallel_uploads_do_not_overshoot_the_quota(
    api: TestClient, alice: UUID, bob: UUID, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.owners set max_videos = 7 where id = %s", (alice,))
    with ThreadPoolExecutor(10) as many:
        answers = list(
            many.map(lambda number: upload(api, alice, f"film {number}".encode()), range(50))
        )
    codes = [one.status_code for one in answers]
    assert codes.count(201) == 7
    assert {one.json()["code"] for one in answers if one.status_code != 201} == {"quota_exceeded"}
    assert codes.count(429) == 43
    assert upload(api, bob, b"film 1").status_code == 201


def test_a_quota_of_bytes_comes_from_the_row_or_the_settings(
    settings: Settings, alice: UUID, bob: UUID, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.owners set max_bytes = 1000 where id = %s", (bob,))
    limited = settings.model_copy(update={"owner_max_bytes": 100})
    with api_in_process(limited) as api:
        assert upload(api, alice, b"x" * 100).status_code == 201
        assert upload(api, alice, b"y").status_code == 429
        assert upload(api, alice, b"x" * 100).status_code == 200  # what is there needs no room
        assert upload(api, bob, b"x" * 1000).status_code == 201
        assert upload(api, bob, b"y").status_code == 429


def test_an_upload_of_60_mb_takes_little_memory(settings: Settings, alice: UUID) -> None:
    megabyte = bytes(range(256)) * 4096

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(60):
            yield megabyte
        yield b"\r\n--b--\r\n"

    with running_api(settings) as url, httpx.Client(base_url=url, timeout=60) as client:
        upload(client, alice, b"to warm up")
        process = serving_process(url)
        idle = process.memory_info().rss
        peak, over = idle, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.005):
                peak = max(peak, process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer = client.post(
            "/v1/videos",
            content=body(),
            headers=headers_of(alice) | {"Content-Type": "multipart/form-data; boundary=b"},
        )
        over.set()
        watcher.join()
    assert answer.status_code == 201
    assert answer.json()["bytes"] == 60 * len(megabyte)
    assert peak - idle < 40 * 1024 * 1024


def serving_process(url: str) -> psutil.Process:
    """The process that listens at a URL."""
    port = int(url.rpartition(":")[2])
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
            return psutil.Process(one.pid)
    raise AssertionError(f"nobody listens on {port}")

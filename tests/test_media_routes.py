"""Streams with ranges, and pictures, by signed URLs and by bearer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from api.media import container_of, disposition, events_url, keyframe_url, stream_url
from api.ranges import NotSatisfiable, names, part_of
from api.shared import Services
from scenebook.model import Video, VideoStatus
from scenebook.settings import Settings
from scenebook.signing import Signer, secret_of
from scenebook.storage import STREAM_BYTES, Storage
from tests.rows import a_scene, a_video
from tests.serving import headers_of

# Longer than two parts of a stream, and no two places look alike.
CONTENT = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(70_000))
PICTURE = b"\xff\xd8 a picture \xff\xd9"
HASH = "5ca1ab1e"


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as made:
        yield made


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage(settings.storage)


@pytest.fixture
def video(connection: psycopg.Connection, storage: Storage, alice: UUID) -> UUID:
    """A video of Alice's with a source in the storage and the title of a mischievous person."""
    video = a_video(connection, owner=alice)
    connection.execute(
        "update public.videos set source_key = 'source', content_hash = %s, title = %s,"
        ' metadata = \'{"format": "QuickTime / MOV"}\' where id = %s',
        (HASH, 'a "b"\r\nSet-Cookie: x=1; ../é.html', video),
    )
    storage.put("source", CONTENT)
    return video


@pytest.fixture
def keyframe(connection: psycopg.Connection, storage: Storage, alice: UUID, video: UUID) -> UUID:
    scene = a_scene(connection, owner=alice, video=video)
    row = connection.execute(
        "insert into public.keyframes (owner_id, scene_id, at_ms, rank, quality, image_key,"
        " image_hash) values (%s, %s, 100, 0, '{}', 'picture', %s) returning id",
        (alice, scene, HASH),
    ).fetchone()
    assert row is not None
    storage.put("picture", PICTURE)
    return UUID(str(row[0]))


def services_of(api: TestClient) -> Services:
    services = api.app.state.services  # type: ignore[attr-defined]
    assert isinstance(services, Services)
    return services


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-", range(10)),
        ("bytes=9-", range(9, 10)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=2-99999999999", range(2, 10)),
        ("bytes=-1", range(9, 10)),
        ("bytes=-99", range(10)),
        ("BYTES= 2-3 ", range(2, 4)),
        # No ranges: ignored.
        (None, None),
        ("", None),
        ("bytes=abc", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=--1", None),
        ("bytes=-1-2", None),
        ("bytes=1.5-2", None),
        ("bytes=0-1,3-4", None),
        ("seconds=0-1", None),
        ("bytes=" + "9" * 400 + "-", None),
        ("bytes=\u0661-\u0662", None),
    ],
)
def test_a_range_header_is_read(header: str | None, expected: range | None) -> None:
    assert part_of(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999-"])
def test_a_range_beyond_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(NotSatisfiable):
        part_of(header, 10)


def test_every_range_of_an_empty_file_is_not_satisfiable() -> None:
    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(NotSatisfiable):
            part_of(header, 0)


def test_entity_tags_are_compared_weakly() -> None:
    assert names('W/"a", "b"', '"a"')
    assert names("*", '"a"')
    assert not names('"ab"', '"a"')


def test_a_stream_comes_whole_or_in_the_part_asked_for(
    api: TestClient, video: UUID, alice: UUID
) -> None:
    url = stream_url(services_of(api), owner_id=alice, video_id=video)
    whole = api.get(url)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert len(CONTENT) > 2 * STREAM_BYTES
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == str(len(CONTENT))
    for header, part in [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=-1", slice(-1, None)),
        (f"bytes={STREAM_BYTES - 1}-{STREAM_BYTES}", slice(STREAM_BYTES - 1, STREAM_BYTES + 1)),
        (f"bytes=7-{10**17}", slice(7, None)),
    ]:
        reply = api.get(url, headers={"Range": header})
        assert (reply.status_code, reply.content) == (206, CONTENT[part]), header
        start, stop, _ = part.indices(len(CONTENT))
        assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
        assert reply.headers["content-length"] == str(stop - start)
    beyond = api.get(url, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(CONTENT)}"
    several = api.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert (several.status_code, len(several.content)) == (200, len(CONTENT))


def test_head_and_conditions_send_no_more_than_is_needed(
    api: TestClient, video: UUID, alice: UUID
) -> None:
    url = stream_url(services_of(api), owner_id=alice, video_id=video)
    head = api.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CONTENT))
    part = api.head(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "5")
    etag = head.headers["etag"]
    assert api.get(url, headers={"If-None-Match": etag}).status_code == 304
    ranged = {"Range": "bytes=0-1"}
    assert api.head(url, headers=ranged | {"If-Range": etag}).status_code == 206
    for other in ('"another"', f"W/{etag}", "Sat, 29 Oct 2026 19:43:31 GMT"):
        assert api.head(url, headers=ranged | {"If-Range": other}).status_code == 200, other


def test_what_was_uploaded_cannot_act_as_a_page_and_its_title_cannot_add_a_header(
    api: TestClient, video: UUID, alice: UUID
) -> None:
    headers = api.head(stream_url(services_of(api), owner_id=alice, video_id=video)).headers
    assert headers["content-type"] == "video/mp4"
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "set-cookie" not in headers
    assert headers["content-disposition"] == (
        'inline; filename="a _b___Set-Cookie: x=1; .._?.html.mp4"; '
        "filename*=UTF-8''a%20_b___Set-Cookie%3A%20x%3D1%3B%20.._%C3%A9.html.mp4"
    ).replace("?", "_")
    assert disposition("\ud800\u202e%.MP4", ".mp4") == (
        "inline; filename=\"__%.MP4\"; filename*=UTF-8''__%25.MP4"
    )


def test_the_media_type_comes_from_the_container() -> None:
    plain = Video(uuid4(), uuid4(), "page.html", VideoStatus.READY, "key", 1)
    stream = {"codec": "vp9", "chosen": True}
    hidden = {"codec": "mjpeg", "chosen": False}
    found = [
        container_of(replace(plain, metadata=metadata))[0]
        for metadata in (
            {},
            {"format": "Matroska / WebM", "streams": [stream, hidden]},
            {"format": "Matroska / WebM", "streams": [{"codec": "h264", "chosen": True}]},
            {"format": "MPEG-TS (MPEG-2 Transport Stream)", "streams": []},
        )
    ]
    assert found == ["application/octet-stream", "video/webm", "video/x-matroska", "video/mp2t"]


def test_a_picture_is_kept_by_browsers_under_its_signed_url_only(
    api: TestClient, keyframe: UUID, alice: UUID
) -> None:
    url = keyframe_url(services_of(api), owner_id=alice, keyframe_id=keyframe)
    signed = api.get(url)
    assert (signed.status_code, signed.content) == (200, PICTURE)
    assert signed.headers["content-type"] == "image/jpeg"
    assert signed.headers["x-content-type-options"] == "nosniff"
    assert signed.headers["cache-control"] == "private, max-age=86400, immutable"
    assert api.head(url).content == b""
    path = f"/v1/keyframes/{keyframe}"
    mine = api.get(path, headers=headers_of(alice))
    assert (mine.content, mine.headers["cache-control"]) == (PICTURE, "private, no-cache")
    known = {"If-None-Match": mine.headers["etag"]}
    assert api.get(path, headers=headers_of(alice) | known).status_code == 304


def test_a_signed_url_works_for_one_thing_only_and_for_a_while(
    api: TestClient, settings: Settings, video: UUID, keyframe: UUID, alice: UUID, bob: UUID
) -> None:
    services = services_of(api)
    stream, events = f"/v1/videos/{video}/stream", f"/v1/videos/{video}/events"
    picture = f"/v1/keyframes/{keyframe}"

    def tokens() -> list[str]:
        urls = (
            stream_url(services, owner_id=alice, video_id=video),
            events_url(services, owner_id=alice, video_id=video),
            keyframe_url(services, owner_id=alice, keyframe_id=keyframe),
            stream_url(services, owner_id=alice, video_id=uuid4()),
            stream_url(services, owner_id=bob, video_id=video),
        )
        return [url.partition("token=")[2] for url in urls]

    def answer(path: str, token: str) -> tuple[int, str]:
        reply = api.get(path, params={"token": token})
        return reply.status_code, reply.json()["code"]

    of_stream, of_events, of_picture, of_other, of_bob = tokens()
    assert api.head(stream, params={"token": of_stream}).status_code == 200
    assert api.get(picture, params={"token": of_picture}).status_code == 200
    for wrong in (of_events, of_picture, of_other, of_stream[:-1], "", "\0", "å"):
        assert answer(stream, wrong) == (401, "invalid_token"), wrong
    assert answer(picture, of_stream) == (401, "invalid_token")
    assert answer(events, of_stream) == (401, "invalid_token")
    assert answer(stream, of_bob) == (404, "not_found")

    hours_ago = time.time() - 7200
    services.signer = Signer(secret_of(settings), clock=lambda: hours_ago)
    of_stream, of_events, of_picture, *_ = tokens()
    services.signer = Signer(secret_of(settings))
    assert answer(stream, of_stream) == (410, "expired")
    assert answer(picture, of_picture) == (410, "expired")
    assert answer(events, of_events) == (410, "expired")


def test_a_signed_url_of_an_owner_who_is_disabled_shows_nothing(
    api: TestClient, connection: psycopg.Connection, video: UUID, alice: UUID
) -> None:
    url = stream_url(services_of(api), owner_id=alice, video_id=video)
    connection.execute("update public.owners set disabled_at = now() where id = %s", (alice,))
    assert (api.get(url).status_code, api.get(url).json()["code"]) == (403, "owner_disabled")


def test_a_missing_object_and_a_missing_storage_are_told_apart(
    api: TestClient, settings: Settings, storage: Storage, video: UUID, keyframe: UUID, alice: UUID
) -> None:
    paths = [f"/v1/videos/{video}/stream", f"/v1/keyframes/{keyframe}"]

    def answers() -> list[tuple[int, str]]:
        replies = [api.get(path, headers=headers_of(alice)) for path in paths]
        return [(reply.status_code, reply.json()["code"]) for reply in replies]

    for key in ("source", "picture"):
        storage.delete(key)
    assert answers() == [(404, "source_missing")] * 2
    directory = Path(settings.storage.removeprefix("file://"))
    directory.rename(directory.with_name("away"))
    assert answers() == [(503, "unavailable")] * 2
    assert str(directory) not in api.get(paths[0], headers=headers_of(alice)).text

"""Resumable uploads: the tus protocol as a public client speaks it, interrupted and resumed."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from starlette.testclient import TestClient
from tusclient.client import TusClient

from scenebook import uploads
from scenebook.db.engine import Database, Role
from scenebook.settings import Settings
from scenebook.storage import Storage
from tests.serving import api_in_process, headers_of, running_api
from tests.test_uploads import upload, wait_for

CONTENT = bytes(hashlib.sha256(b"seed").digest()) * 300_000  # 9.6 MB: parts do not fit evenly
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def encoded(**metadata: str) -> str:
    """The header Upload-Metadata."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )


def begin(api: TestClient, owner: UUID, size: int = 10, **headers: str) -> Any:
    """A request for a new upload."""
    sent = headers_of(owner) | TUS | {"Upload-Length": str(size)} | headers
    return api.post(
        "/v1/uploads", headers={key.replace("_", "-"): one for key, one in sent.items()}
    )


def patch(api: TestClient, owner: UUID, url: str, offset: int, content: bytes, **more: str) -> Any:
    """The next bytes."""
    headers = headers_of(owner) | TUS | BYTES | {"Upload-Offset": str(offset)} | more
    return api.patch(url, content=content, headers=headers)


def offset_of(api: TestClient | httpx.Client, owner: UUID, url: str) -> int:
    answer = api.head(url, headers=headers_of(owner) | TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def stored(settings: Settings, owner: UUID) -> dict[str, int]:
    return Storage(settings.storage).list_prefix(str(owner))


def test_a_public_client_is_interrupted_and_goes_on_until_the_bytes_are_equal(
    settings: Settings, alice: UUID, bob: UUID
) -> None:
    with running_api(settings) as url, httpx.Client(base_url=url) as api:
        client = TusClient(f"{url}/v1/uploads", headers=headers_of(alice))
        first = client.uploader(
            file_stream=io.BytesIO(CONTENT),
            chunk_size=2_000_000,
            metadata={"objectName": "holidays/My film.mp4", "language": "en"},
        )
        first.upload(stop_at=3_000_000)
        assert first.offset < len(CONTENT)
        at = break_off(first.url, offset=first.offset, owner=alice, send=5_000_000)
        wait_for(lambda: offset_of(api, alice, first.url) > at)
        assert 0 < offset_of(api, alice, first.url) < len(CONTENT)

        # Another process of the client knows nothing but the URL.
        second = TusClient(f"{url}/v1/uploads", headers=headers_of(alice)).uploader(
            file_stream=io.BytesIO(CONTENT), chunk_size=5_000_000, url=first.url
        )
        assert second.offset == offset_of(api, alice, first.url)
        second.upload()
        head = api.head(first.url, headers=headers_of(alice) | TUS)
        video = api.get(
            f"/v1/videos/{head.headers['scenebook-video-id']}", headers=headers_of(alice)
        )
        assert (video.json()["title"], video.json()["language"]) == ("My film.mp4", "english")
        assert video.json()["bytes"] == len(CONTENT)
        assert api.head(first.url, headers=headers_of(bob) | TUS).status_code == 404
    key = f"{alice}/{video.json()['id']}/source"
    assert Storage(settings.storage).get(key) == CONTENT
    assert list(stored(settings, alice)) == [key]


def break_off(url: str, *, offset: int, owner: UUID, send: int) -> int:
    """Send a part of a PATCH and hang up; returns where it began."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as connection:
        connection.sendall(
            f"PATCH /{path} HTTP/1.1\r\nHost: {host}\r\nTus-Resumable: 1.0.0\r\n"
            f"Authorization: {headers_of(owner)['Authorization']}\r\nUpload-Offset: {offset}\r\n"
            f"Content-Type: {BYTES['Content-Type']}\r\n"
            f"Content-Length: {len(CONTENT) - offset}\r\n\r\n".encode()
        )
        connection.sendall(CONTENT[offset : offset + send])
    return offset


def test_an_upload_becomes_a_video_with_its_last_byte(
    api: TestClient, alice: UUID, settings: Settings
) -> None:
    begun = begin(api, alice, Upload_Metadata=encoded(filename="../a.mp4", metadata='{"a": 1}'))
    assert begun.status_code == 201, begun.text
    url = begun.headers["location"]
    assert (begun.json()["state"], begun.json()["received"]) == ("receiving", 0)
    middle = patch(api, alice, url, 0, b"01234")
    assert (middle.status_code, middle.headers["upload-offset"]) == (204, "5")
    assert "scenebook-video-id" not in middle.headers
    last = patch(api, alice, url, 5, b"56789")
    video_id = last.headers["scenebook-video-id"]
    state = api.get(url, headers=headers_of(alice)).json()
    assert (state["state"], state["video_id"]) == ("complete", video_id)
    video = api.get(f"/v1/videos/{video_id}", headers=headers_of(alice)).json()
    assert (video["title"], video["status"], video["metadata"]) == ("a.mp4", "waiting", {"a": 1})
    assert Storage(settings.storage).get(f"{alice}/{video_id}/source") == b"0123456789"


def test_supabases_clients_find_the_protocol_where_they_expect_it(
    api: TestClient, alice: UUID
) -> None:
    headers = headers_of(alice) | TUS | {"Upload-Length": "3", "x-upsert": "true"}
    names = encoded(bucketName="videos", objectName="a/b.mp4", contentType="video/mp4")
    begun = api.post("/storage/v1/upload/resumable", headers=headers | {"Upload-Metadata": names})
    url = begun.headers["location"]
    assert url.startswith("/storage/v1/upload/resumable/")
    video_id = patch(api, alice, url, 0, b"abc").headers["scenebook-video-id"]
    video = api.get(f"/v1/videos/{video_id}", headers=headers_of(alice)).json()
    assert (video["title"], video["bytes"]) == ("b.mp4", 3)


def test_the_first_bytes_may_come_with_the_creation(api: TestClient, alice: UUID) -> None:
    headers = headers_of(alice) | TUS | BYTES | {"Upload-Length": "10"}
    begun = api.post("/v1/uploads", content=b"0123456789", headers=headers)
    assert (begun.status_code, begun.headers["upload-offset"]) == (201, "10")
    assert "scenebook-video-id" in begun.headers


def test_bytes_that_the_owner_has_already_lead_to_the_same_video(
    api: TestClient, alice: UUID, bob: UUID, settings: Settings
) -> None:
    known = upload(api, alice, b"0123456789").json()["id"]
    url = begin(api, alice).headers["location"]
    assert patch(api, alice, url, 0, b"0123456789").headers["scenebook-video-id"] == known
    assert list(stored(settings, alice)) == [f"{alice}/{known}/source"]
    url = begin(api, bob).headers["location"]
    assert patch(api, bob, url, 0, b"0123456789").headers["scenebook-video-id"] != known


def test_an_upload_of_another_owner_looks_like_none_at_all(
    api: TestClient, alice: UUID, bob: UUID
) -> None:
    alices = begin(api, alice).headers["location"]
    nobodys = f"/v1/uploads/{uuid4()}"

    def answers(url: str) -> list[tuple[int, str]]:
        headers = headers_of(bob) | TUS
        made = [
            api.get(url, headers=headers),
            api.head(url, headers=headers),
            api.delete(url, headers=headers),
            patch(api, bob, url, 0, b"x"),
        ]
        return [(one.status_code, one.text.replace(url.rpartition("/")[2], "ID")) for one in made]

    assert answers(alices) == answers(nobodys)
    assert {status for status, _ in answers(alices)} == {404}
    assert offset_of(api, alice, alices) == 0


def test_of_two_requests_the_later_one_goes_on_and_the_other_is_told(
    settings: Settings, alice: UUID, database_url: str
) -> None:
    db = Database(database_url, role=Role.API)
    storage = Storage(settings.storage)
    with api_in_process(settings) as api:
        url = begin(api, alice).headers["location"]
        at = {"owner_id": alice, "upload_id": UUID(url.rpartition("/")[2]), "ttl_s": 60}
        first = uploads.write_at(db, storage, offset=0, **at)  # type: ignore[arg-type]
        second = uploads.write_at(db, storage, offset=0, **at)  # type: ignore[arg-type]
        with pytest.raises(uploads.Conflict):
            first.add(b"wrong")
        second.add(b"01234")
        with pytest.raises(uploads.Conflict):
            first.add(b"wrong")
        assert patch(api, alice, url, 0, b"01234").status_code == 409
        assert offset_of(api, alice, url) == 5
        video_id = patch(api, alice, url, 5, b"56789").headers["scenebook-video-id"]
    assert storage.get(f"{alice}/{video_id}/source") == b"0123456789"
    db.close()


def test_an_orphaned_part_of_a_request_that_died_is_not_joined(
    api: TestClient, alice: UUID, settings: Settings
) -> None:
    url = begin(api, alice).headers["location"]
    upload_id = url.rpartition("/")[2]
    prefix = uploads.parts_prefix(owner_id=alice, upload_id=UUID(upload_id))
    Storage(settings.storage).put(f"{prefix}/{0:015d}.{0:010d}", b"stored, but never counted")
    assert patch(api, alice, url, 0, b"01234").status_code == 204
    video_id = patch(api, alice, url, 5, b"56789").headers["scenebook-video-id"]
    assert Storage(settings.storage).get(f"{alice}/{video_id}/source") == b"0123456789"


def test_an_upload_whose_last_request_died_while_joining_is_finished_by_the_next(
    api: TestClient, alice: UUID, settings: Settings, database_url: str
) -> None:
    db = Database(database_url, role=Role.API)
    url = begin(api, alice).headers["location"]
    at = {"owner_id": alice, "upload_id": UUID(url.rpartition("/")[2]), "ttl_s": 60}
    writing = uploads.write_at(db, Storage(settings.storage), offset=0, **at)  # type: ignore[arg-type]
    writing.add(b"0123456789")
    assert api.get(url, headers=headers_of(alice)).json()["state"] == "joining"
    head = api.head(url, headers=headers_of(alice) | TUS)
    assert head.headers["scenebook-video-id"]
    db.close()


def test_what_is_given_up_or_expired_leaves_nothing_behind(
    api: TestClient, alice: UUID, bob: UUID, settings: Settings, database_url: str
) -> None:
    given_up, expired = (begin(api, alice).headers["location"] for _ in range(2))
    kept = begin(api, bob).headers["location"]
    for url, owner in [(given_up, alice), (expired, alice), (kept, bob)]:
        patch(api, owner, url, 0, b"01234")
    assert api.delete(given_up, headers=headers_of(alice) | TUS).status_code == 204
    assert api.head(given_up, headers=headers_of(alice) | TUS).status_code == 404
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "update public.uploads set expires_at = now() - interval '1 day' where owner_id = %s",
            (alice,),
        )
    gone = api.get(expired, headers=headers_of(alice))
    assert (gone.status_code, gone.json()["code"]) == (410, "upload_expired")
    assert patch(api, alice, expired, 5, b"56789").status_code == 410
    relay = Database(database_url, role=Role.RELAY)
    assert uploads.remove_expired(relay, Storage(settings.storage)) == 1
    relay.close()
    assert api.get(expired, headers=headers_of(alice)).status_code == 404
    assert stored(settings, alice) == {}
    assert offset_of(api, bob, kept) == 5


def test_uploads_that_have_begun_count_against_the_quota(
    settings: Settings, alice: UUID, bob: UUID
) -> None:
    with api_in_process(settings.model_copy(update={"owner_max_bytes": 15})) as api:
        url = begin(api, alice).headers["location"]
        assert begin(api, alice).json()["code"] == "quota_exceeded"
        assert begin(api, bob).status_code == 201
        assert patch(api, alice, url, 0, b"0123456789").status_code == 204
        assert begin(api, alice, 5).status_code == 201


def test_the_creation_can_be_repeated_with_an_idempotency_key(api: TestClient, alice: UUID) -> None:
    first, again = (begin(api, alice, Idempotency_Key="k") for _ in range(2))
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"


def test_a_creation_with_bytes_that_is_repeated_says_where_to_go_on(
    api: TestClient, alice: UUID
) -> None:
    headers = headers_of(alice) | TUS | BYTES | {"Upload-Length": "10", "Idempotency-Key": "k"}
    first, again = (api.post("/v1/uploads", content=b"01234", headers=headers) for _ in range(2))
    assert (again.status_code, again.headers["upload-offset"]) == (201, "5")
    assert first.headers["location"] == again.headers["location"]
    assert patch(api, alice, again.headers["location"], 5, b"56789").status_code == 204


def test_the_service_says_what_it_speaks(api: TestClient, alice: UUID) -> None:
    options = api.options("/v1/uploads", headers=headers_of(alice))
    assert options.status_code == 204
    assert options.headers["tus-version"] == "1.0.0"
    assert "creation-with-upload" in options.headers["tus-extension"]
    other = api.post("/v1/uploads", headers=headers_of(alice) | {"Upload-Length": "1"})
    assert (other.status_code, other.headers["tus-version"]) == (412, "1.0.0")


MALFORMED: list[tuple[dict[str, str], int]] = [
    ({"Upload_Length": "-1"}, 422),
    ({"Upload_Length": "x"}, 422),
    ({"Upload_Length": "0"}, 422),
    ({"Upload_Length": "1e3"}, 422),
    ({"Upload_Length": "9" * 18}, 413),
    ({"Upload_Length": "9" * 5000}, 422),
    ({"Upload_Metadata": "filename not-base64!"}, 422),
    ({"Upload_Metadata": f"title {base64.b64encode(bytes([255])).decode()}"}, 422),
    ({"Upload_Metadata": encoded(language="klingon")}, 422),
    ({"Upload_Metadata": encoded(metadata="[1]")}, 422),
    ({"Upload_Metadata": encoded(title="a\0b")}, 422),
]


def test_a_malformed_creation_is_refused(api: TestClient, alice: UUID, database_url: str) -> None:
    for headers, status in MALFORMED:
        answer = begin(api, alice, **headers)
        assert answer.status_code == status, (headers, answer.text)
        assert answer.json()["code"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select from public.uploads").fetchall() == []


def test_a_malformed_continuation_changes_nothing(api: TestClient, alice: UUID) -> None:
    url = begin(api, alice).headers["location"]
    answers = [
        patch(api, alice, url, 3, b"345"),
        patch(api, alice, url, 0, b"0123456789a"),
        patch(api, alice, url, 0, b"0", **{"Content-Type": "text/plain"}),
        patch(api, alice, url, 0, b"0", **{"Upload-Offset": "-1"}),
        patch(api, alice, url, 0, b"0", **{"Tus-Resumable": "0.2.2"}),
    ]
    assert [one.status_code for one in answers] == [409, 413, 415, 422, 412]
    assert offset_of(api, alice, url) == 0

"""`Idempotency-Key`: sent again, done once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from scenebook.db.engine import Database, Role
from scenebook.errors import Conflict, InvalidInput, Unavailable
from scenebook.idempotency import Answer, once
from tests.serving import headers_of
from tests.test_uploads import upload


@pytest.fixture
def db(database_url: str) -> Database:
    """The database as the API sees it."""
    return Database(database_url, role=Role.API, pool_size=8)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from public.videos").fetchone()
    assert row is not None
    return int(row[0])


def test_the_same_request_is_done_once_and_answered_the_same(
    api: TestClient, alice: UUID, database_url: str
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (upload(api, alice, headers=key, title="A") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert count(database_url) == 1


@pytest.mark.parametrize("change", [{"content": b"other"}, {"title": "B"}, {"language": "de"}])
def test_another_request_with_the_same_key_is_refused(
    api: TestClient, alice: UUID, database_url: str, change: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "again"}
    assert upload(api, alice, headers=key, title="A").status_code == 201
    answer = upload(api, alice, headers=key, **{"title": "A"} | change)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert count(database_url) == 1


def test_keys_of_two_owners_have_nothing_to_do_with_each_other(
    api: TestClient, alice: UUID, bob: UUID
) -> None:
    key = {"Idempotency-Key": "1"}
    alices = upload(api, alice, b"hers", headers=key)
    bobs = upload(api, bob, b"his", headers=key)
    assert (alices.status_code, bobs.status_code) == (201, 201)
    assert alices.json()["id"] != bobs.json()["id"]
    assert "idempotency-replayed" not in bobs.headers


def test_fifty_at_once_are_one_video(api: TestClient, alice: UUID, database_url: str) -> None:
    key = {"Idempotency-Key": "one of many"}
    with ThreadPoolExecutor(10) as many:
        answers = list(many.map(lambda _: upload(api, alice, headers=key), range(50)))
    assert {one.status_code for one in answers} <= {201, 409}
    ids = {one.json()["id"] for one in answers if one.status_code == 201}
    assert len(ids) == 1
    for one in answers:
        if one.status_code == 409:
            assert one.json()["code"] == "request_in_progress"
            assert int(one.headers["retry-after"]) > 0
    assert count(database_url) == 1


def test_an_import_is_begun_once(
    api: TestClient, alice: UUID, bob: UUID, database_url: str
) -> None:
    def asked(owner: UUID, name: str) -> Any:
        body = {"url": f"https://93.184.215.14/{name}.mp4"}
        headers = headers_of(owner) | {"Idempotency-Key": "import"}
        return api.post("/v1/videos", json=body, headers=headers)

    first, again = (asked(alice, "film") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert asked(alice, "another").json()["code"] == "idempotency_key_reused"
    assert asked(bob, "film").json()["id"] != first.json()["id"]
    assert count(database_url) == 2


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/keys", {"name": "a key", "scopes": ["write", "read"]}, {"name": "another"}),
        ("/v1/webhooks", {"url": "https://93.184.215.14/hooks"}, {"events": ["video.ready"]}),
    ],
)
def test_what_has_a_secret_is_made_once_and_the_secret_shown_once(
    api: TestClient, alice: UUID, bob: UUID, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    def asked(owner: UUID, **change: object) -> Any:
        headers = headers_of(owner) | {"Idempotency-Key": "made"}
        return api.post(path, json=body | change, headers=headers)

    first, again = (asked(alice) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["secret"]
    assert again.json() == first.json() | {"secret": None}
    assert again.headers["idempotency-replayed"] == "true"
    assert asked(alice, **other).json()["code"] == "idempotency_key_reused"
    assert asked(bob).json()["secret"] not in {None, first.json()["secret"]}
    (rows,) = api.get(path, headers=headers_of(alice)).json().values()
    assert len(rows) == 1


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_cannot_be_is_refused(api: TestClient, alice: UUID, key: str) -> None:
    assert upload(api, alice, headers={"Idempotency-Key": key}).status_code == 422


def one(db: Database, owner: UUID, **more: object) -> Answer:
    """A request with the key `k`; what it asks is `asked`."""
    given = {"key": "k", "request_hash": "a", "ttl_s": 60, "act": lambda: Answer(201, {"n": 1})}
    return once(db, owner_id=owner, **given | more)  # type: ignore[arg-type]


def test_while_the_first_request_runs_the_second_is_told_to_come_again(
    db: Database, alice: UUID, bob: UUID
) -> None:
    runs, go_on = threading.Event(), threading.Event()

    def slowly() -> Answer:
        runs.set()
        go_on.wait(10)
        return Answer(201, {"n": 1})

    with ThreadPoolExecutor(1) as other:
        first = other.submit(one, db, alice, act=slowly)
        runs.wait(10)
        with pytest.raises(Conflict, match="still being done"):
            one(db, alice)
        with pytest.raises(InvalidInput, match="another request"):
            one(db, alice, request_hash="b")
        assert one(db, bob).replayed is False
        go_on.set()
        assert first.result().replayed is False
    assert one(db, alice).replayed is True


def test_a_request_that_fails_gives_its_key_back(db: Database, alice: UUID) -> None:
    def fails() -> Answer:
        raise Unavailable

    with pytest.raises(Unavailable):
        one(db, alice, act=fails)
    assert one(db, alice, request_hash="b").replayed is False


def test_the_lock_of_a_request_that_died_ends(db: Database, alice: UUID) -> None:
    def dies_late() -> Answer:
        # Meanwhile the lock has ended, and another request has the key.
        assert one(db, alice, act=lambda: Answer(201, {"n": 2})).replayed is False
        return Answer(201, {"n": 1})

    one(db, alice, act=dies_late, lock_s=0)
    replayed = one(db, alice)
    assert (replayed.replayed, replayed.body) == (True, {"n": 2})


def test_an_old_answer_is_forgotten_and_a_secret_is_never_kept(
    db: Database, alice: UUID, database_url: str
) -> None:
    def secretly() -> Answer:
        return Answer(201, {"n": 1}, shown_once={"secret": "s3cret"})

    assert one(db, alice, act=secretly).shown_once == {"secret": "s3cret"}
    replayed = one(db, alice, act=secretly)
    assert replayed.body == {"n": 1, "secret": None}
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select k::text from public.idempotency_keys k").fetchall()
        assert "s3cret" not in str(rows)
    assert one(db, alice, ttl_s=0).replayed is False

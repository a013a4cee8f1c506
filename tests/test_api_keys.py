"""API keys: who may do what with one, for how long, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from scenebook import api_keys
from scenebook.cli import keys as command
from scenebook.db.engine import Database, Role
from scenebook.errors import InvalidInput, NotFound, QuotaExceeded, Unauthorized
from tests.postgres import session
from tests.serving import headers_of

HERE = "/v1/keys"


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """The API's own connections."""
    made = Database(database_url, role=Role.API, pool_size=2)
    yield made
    made.close()


def bearing(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def make(api: TestClient, owner: UUID, *scopes: str, **more: object) -> tuple[str, str]:
    """A new key's id and secret."""
    answer = api.post(
        HERE, headers=headers_of(owner), json={"name": "a key", "scopes": scopes, **more}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]["id"], answer.json()["secret"]


def test_a_key_acts_for_its_owner_only_and_is_shown_without_its_secret(
    api: TestClient, alice: UUID, bob: UUID
) -> None:
    of_alice, secret = make(api, alice, "admin", "read")
    of_bob, _ = make(api, bob, "admin")
    for name in ("Authorization", "x-api-key", "apikey"):
        value = f"Bearer {secret}" if name == "Authorization" else secret
        answer = api.get(HERE, headers={name: value})
        assert [key["id"] for key in answer.json()["keys"]] == [of_alice]
        assert secret not in answer.text
    (key,) = answer.json()["keys"]
    assert secret.startswith(key["prefix"])
    assert key["scopes"] == ["admin", "read"]
    foreign = api.delete(f"{HERE}/{of_bob}", headers=bearing(secret))
    missing = api.delete(f"{HERE}/{(unknown := uuid4())}", headers=bearing(secret))
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text.replace(of_bob, "") == missing.text.replace(str(unknown), "")
    assert len(api.get(HERE, headers=headers_of(bob)).json()["keys"]) == 1


def test_the_session_of_a_user_wins_over_a_key(api: TestClient, alice: UUID, bob: UUID) -> None:
    _, of_bob = make(api, bob, "admin")
    answer = api.get(HERE, headers={"apikey": of_bob, **headers_of(alice)})
    assert answer.json() == {"keys": []}


def test_a_key_does_what_its_scopes_say(api: TestClient, alice: UUID) -> None:
    for scope in ("read", "write"):
        _, secret = make(api, alice, scope)
        answer = api.get(HERE, headers=bearing(secret))
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_a_revoked_key_is_refused_at_once(api: TestClient, alice: UUID) -> None:
    key_id, secret = make(api, alice, "admin")
    assert api.get(HERE, headers=bearing(secret)).status_code == 200
    for _ in range(2):
        assert api.delete(f"{HERE}/{key_id}", headers=headers_of(alice)).status_code == 204
    refused = api.get(HERE, headers=bearing(secret))
    assert (refused.status_code, refused.json()["code"]) == (401, "key_revoked")


def test_a_key_that_somebody_else_revoked_is_refused_soon(
    api: TestClient, db: Database, alice: UUID
) -> None:
    key_id, secret = make(api, alice, "admin")
    assert api.get(HERE, headers=bearing(secret)).status_code == 200
    api_keys.revoke_key(db, owner_id=alice, key_id=UUID(key_id))
    api.app.state.services.callers.keys._fresh_s = 0  # as if two seconds had gone by
    assert api.get(HERE, headers=bearing(secret)).status_code == 401


def test_an_expired_key_is_refused(db: Database, database_url: str, alice: UUID) -> None:
    made = api_keys.create_key(db, owner_id=alice, name="short", expires_days=1)
    assert api_keys.present_key(db, secret=made.secret).owner_id == alice
    with psycopg.connect(database_url) as connection:
        connection.execute("update api_keys set expires_at = now() - interval '1 second'")
    with pytest.raises(Unauthorized) as refused:
        api_keys.present_key(db, secret=made.secret)
    assert refused.value.code == "key_expired"


def test_only_a_hash_is_kept_and_secrets_cannot_be_guessed(
    db: Database, database_url: str, alice: UUID
) -> None:
    made = api_keys.create_key(db, owner_id=alice, name="a key")
    with psycopg.connect(database_url) as connection:
        (row,) = connection.execute("select * from api_keys").fetchall()
    assert made.secret not in repr(row)
    assert made.secret.removeprefix(made.key.prefix)[1:] not in repr(row)
    assert len(made.secret.removeprefix(made.key.prefix)[1:]) * 5.9 > 128  # bits
    another = api_keys.create_key(db, owner_id=alice, name="a key")
    assert another.secret != made.secret
    assert another.key.prefix != made.key.prefix


@pytest.mark.parametrize("change", ["lower", "longer", "shorter", "prefix only", "hash"])
def test_what_resembles_a_key_is_none(db: Database, alice: UUID, change: str) -> None:
    secret = api_keys.create_key(db, owner_id=alice, name="a key").secret
    wrong = {
        "lower": secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        "longer": secret + "a",
        "shorter": secret[:-1],
        "prefix only": secret[:12],
        "hash": api_keys.hash_of(secret),
    }[change]
    with pytest.raises(Unauthorized) as refused:
        api_keys.present_key(db, secret=wrong)
    assert refused.value.code == "invalid_key"


def test_a_presented_hash_shows_one_row_in_one_transaction(
    db: Database, database_url: str, alice: UUID, bob: UUID
) -> None:
    mine = api_keys.create_key(db, owner_id=alice, name="a key")
    api_keys.create_key(db, owner_id=bob, name="a key")
    everything = "select owner_id from public.api_keys"
    with session(database_url, role="scenebook_api") as connection:
        assert connection.execute(everything).fetchall() == []
        for given, seen in ((api_keys.hash_of(mine.secret), [(alice,)]), ("", []), ("%", [])):
            connection.execute("select set_config('scenebook.presented_key', %s, true)", (given,))
            assert connection.execute(everything).fetchall() == seen
    api_keys.present_key(db, secret=mine.secret)
    with db.transaction(owner_id=bob) as tx:
        assert [row.owner_id for row in tx.exec_driver_sql(everything)] == [bob]
    with (
        session(database_url, role="authenticated", owner=alice) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(everything)


def test_the_last_use_is_noted_once_a_minute_and_waits_for_nobody(
    db: Database, database_url: str, alice: UUID
) -> None:
    made = api_keys.create_key(db, owner_id=alice, name="a key")

    def last_used() -> object:
        (key,) = api_keys.list_keys(db, owner_id=alice)
        return key.last_used_at

    assert last_used() is None
    with psycopg.connect(database_url) as connection:  # somebody holds the row
        connection.execute("select 1 from api_keys for update")
        api_keys.present_key(db, secret=made.secret)
        assert last_used() is None
    api_keys.present_key(db, secret=made.secret)
    first = last_used()
    assert first is not None
    api_keys.present_key(db, secret=made.secret)
    assert last_used() == first
    with psycopg.connect(database_url) as connection:
        connection.execute("update api_keys set last_used_at = now() - interval '61 seconds'")
    api_keys.present_key(db, secret=made.secret)
    assert last_used() != first


WRONG: list[dict[str, object]] = [
    {"name": ""},
    {"name": " "},
    {"name": "a" * 101},
    {"name": "a\0b"},
    {"name": "\ud800"},
    {"name": None},
    {"scopes": []},
    {"scopes": ["root"]},
    {"scopes": "read"},
    {"expires_days": 0},
    {"expires_days": 10**9},
    {"expires_days": 1.5},
    {"owner_id": str(uuid4())},
    {"\ud800": 1},
]


def test_a_key_that_cannot_be_is_a_422(api: TestClient, alice: UUID) -> None:
    headers = headers_of(alice) | {"Content-Type": "application/json"}
    for wrong in WRONG:
        body = json.dumps({"name": "a key"} | wrong)  # in escapes: a surrogate has no UTF-8
        answer = api.post(HERE, headers=headers, content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), wrong
    assert api.get(HERE, headers=headers_of(alice)).json() == {"keys": []}


def test_the_domain_refuses_the_same(db: Database, alice: UUID, bob: UUID) -> None:
    for wrong in ({"name": "\0"}, {"scopes": []}, {"scopes": ["root"]}, {"expires_days": -1}):
        with pytest.raises(InvalidInput):
            api_keys.create_key(db, owner_id=alice, **({"name": "a key"} | wrong))  # type: ignore[arg-type]
    made = api_keys.create_key(db, owner_id=alice, name="a key")
    with pytest.raises(NotFound):
        api_keys.revoke_key(db, owner_id=bob, key_id=made.key.id)
    assert api_keys.present_key(db, secret=made.secret).id == made.key.id


def test_an_owner_has_a_hundred_keys_that_work(
    db: Database, database_url: str, alice: UUID
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into api_keys (owner_id, name, prefix, secret_hash, scopes)"
            " select %s, 'k', 'sbk_x', encode(sha256(i::text::bytea), 'hex'), '{read}'"
            " from generate_series(1, 100) as i",
            (alice,),
        )
    with pytest.raises(QuotaExceeded):
        api_keys.create_key(db, owner_id=alice, name="one more")
    api_keys.revoke_key(db, owner_id=alice, key_id=api_keys.list_keys(db, owner_id=alice)[0].id)
    api_keys.create_key(db, owner_id=alice, name="one more")


def test_the_command_line_names_a_key_by_id_or_prefix(db: Database, alice: UUID) -> None:
    made = api_keys.create_key(db, owner_id=alice, name="a key", scopes=["write", "read"]).key
    found = api_keys.list_keys(db, owner_id=alice)
    assert command._find(found, str(made.id)) == command._find(found, made.prefix) == made.id
    with pytest.raises(NotFound):
        command._find(found, "sbk_")
    shape = command._shape(made)
    assert (shape["status"], shape["scopes"]) == ("works", ["read", "write"])
    assert "secret_hash" not in shape

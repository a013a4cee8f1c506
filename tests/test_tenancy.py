"""Nobody reads or writes another owner's rows, whatever role, claims or statement they use."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from scenebook.db.engine import Database, Role
from tests.conftest import ALICE, BOB
from tests.postgres import Server, become, session
from tests.rows import a_library, a_space, an_owner

# The column that names the owner, of every table that belongs to owners.
TENANT_TABLES = {
    "owners": "id",
    "videos": "owner_id",
    "scenes": "owner_id",
    "utterances": "owner_id",
    "video_words": "owner_id",
    "keyframes": "owner_id",
    "scene_channels": "owner_id",
    "scene_embeddings": "owner_id",
    "space_scenes": "owner_id",
    "jobs": "owner_id",
    "paid_calls": "owner_id",
    "api_keys": "owner_id",
    "idempotency_keys": "owner_id",
    "uploads": "owner_id",
    "webhook_endpoints": "owner_id",
    "webhook_deliveries": "owner_id",
    "searches": "owner_id",
}
READABLE = {
    "authenticated": [
        "videos", "scenes", "utterances", "keyframes", "scene_channels", "scene_embeddings",
        "space_scenes", "scene_sidecars", "video_words",
    ],
    "scenebook_api": [
        "owners", "videos", "scenes", "utterances", "keyframes", "scene_channels",
        "scene_embeddings", "space_scenes", "jobs", "paid_calls", "scene_sidecars",
        "video_words", "api_keys", "idempotency_keys", "uploads", "webhook_endpoints",
        "webhook_deliveries", "searches",
    ],
    "scenebook_worker": [
        "owners", "videos", "scenes", "utterances", "keyframes", "scene_channels",
        "scene_embeddings", "space_scenes", "paid_calls", "scene_sidecars", "video_words",
        "uploads", "webhook_endpoints",
    ],
    "scenebook_relay": ["videos", "scenes", "scene_channels"],
    "scenebook_operator": [],
}  # fmt: skip
# Of every owner: what is due, and what has expired.
ACROSS = {
    "scenebook_worker": ["jobs", "workers"],
    "scenebook_relay": [
        "jobs", "workers", "idempotency_keys", "uploads", "webhook_endpoints",
        "webhook_deliveries", "searches",
    ],
    "scenebook_operator": ["jobs", "workers", "searches"],
}  # fmt: skip
READS = [(role, table) for role, tables in READABLE.items() for table in tables]
EVERYTHING = [*TENANT_TABLES, "embedding_spaces", "workers", "scene_sidecars"]
UNREADABLE = [
    (role, table)
    for role, tables in (READABLE | {"anon": []}).items()
    for table in EVERYTHING
    if table not in tables
    and not (table == "embedding_spaces" and role != "anon")
    and table not in ACROSS.get(role, ())
]


@pytest.fixture(scope="module")
def filled(postgres_server: Server) -> Iterator[tuple[str, dict[UUID, UUID]]]:
    """One database for all tests here, which roll back: a row of either owner in every table."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as connection:
            space = a_space(connection)
            videos = {
                owner: a_library(connection, owner=an_owner(connection, owner), space=space)
                for owner in (ALICE, BOB)
            }
        yield url, videos


@pytest.fixture
def database_url(filled: tuple[str, dict[UUID, UUID]]) -> str:
    """The filled database."""
    return filled[0]


@pytest.fixture
def videos(filled: tuple[str, dict[UUID, UUID]]) -> dict[UUID, UUID]:
    """The video of each owner."""
    return filled[1]


@pytest.fixture
def alice() -> UUID:
    """One owner."""
    return ALICE


@pytest.fixture
def bob() -> UUID:
    """The other owner."""
    return BOB


def owners_seen(connection: psycopg.Connection, table: str) -> list[UUID]:
    column = TENANT_TABLES.get(table, "owner_id")
    return [row[0] for row in connection.execute(f"select {column} from public.{table}")]


@pytest.mark.parametrize(("role", "table"), READS)
def test_an_owner_sees_the_own_rows_only(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID], role: str, table: str
) -> None:
    for owner in (alice, bob):
        with session(database_url, role=role, owner=owner) as connection:
            assert owners_seen(connection, table) == [owner]


@pytest.mark.parametrize(("role", "table"), READS)
def test_without_an_owner_there_is_nothing_to_see(
    database_url: str, videos: dict[UUID, UUID], role: str, table: str
) -> None:
    for claims in (None, "", "{}", '{"sub": ""}', '{"sub": null}', "[]", '"text"'):
        with session(database_url, role=role) as connection:
            if claims is not None:
                become(connection, claims)
            assert owners_seen(connection, table) == []
    for garbage in ('{"sub": "alice"}', "not json"):
        with session(database_url, role=role) as connection:
            become(connection, garbage)
            with pytest.raises(psycopg.DataError):
                owners_seen(connection, table)


@pytest.mark.parametrize(("role", "table"), UNREADABLE)
def test_what_a_role_has_no_use_for_is_closed_to_it(
    database_url: str, alice: UUID, role: str, table: str
) -> None:
    with (
        session(database_url, role=role, owner=alice) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(f"select * from public.{table}")


def test_the_old_form_of_claims_still_works(
    database_url: str, alice: UUID, videos: dict[UUID, UUID]
) -> None:
    with session(database_url, role="authenticated") as connection:
        connection.execute("select set_config('request.jwt.claim.sub', %s, true)", (str(alice),))
        assert owners_seen(connection, "videos") == [alice]


def test_workers_and_relay_see_what_is_due_of_all_and_the_api_its_owners(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID]
) -> None:
    for role, tables in ACROSS.items():
        with session(database_url, role=role) as connection:
            for table in tables:
                if table in TENANT_TABLES:
                    assert set(owners_seen(connection, table)) == {alice, bob}
    with session(database_url, role="scenebook_api", owner=bob) as connection:
        assert owners_seen(connection, "jobs") == [bob]


def test_the_relay_reads_the_limits_of_all_owners_and_nothing_else_of_them(
    database_url: str, alice: UUID, bob: UUID
) -> None:
    with session(database_url, role="scenebook_relay") as connection:
        rows = connection.execute("select id, max_running, disabled_at from public.owners")
        assert {row[0] for row in rows} == {alice, bob}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select max_bytes from public.owners")


def test_the_operators_own_code_sees_all_owners(database_url: str, alice: UUID, bob: UUID) -> None:
    with session(database_url, role="service_role") as connection:
        for table in (*TENANT_TABLES, "scene_sidecars"):
            assert set(owners_seen(connection, table)) == {alice, bob}


WRITERS = [
    ("scenebook_api", "owners", "max_running = 9"),
    ("scenebook_api", "videos", "title = 'Mine'"),
    ("scenebook_api", "jobs", "priority = 0"),
    ("scenebook_api", "scene_channels", "status = 'pending'"),
    ("scenebook_api", "api_keys", "name = 'Mine'"),
    ("scenebook_api", "idempotency_keys", "request_hash = 'mine'"),
    ("scenebook_api", "uploads", "writer = 1"),
    ("scenebook_api", "webhook_endpoints", "secret = 'mine'"),
    ("scenebook_api", "webhook_deliveries", "attempt = 1"),
    ("scenebook_worker", "owners", "max_running = 9"),
    ("scenebook_worker", "videos", "title = 'Mine'"),
    ("scenebook_worker", "scenes", "transcript = 'mine'"),
    ("scenebook_worker", "utterances", "text = 'mine'"),
    ("scenebook_worker", "video_words", "word = 'mine'"),
    ("scenebook_worker", "keyframes", "image_key = 'mine'"),
    ("scenebook_worker", "scene_channels", "status = 'error'"),
    ("scenebook_worker", "scene_embeddings", "at_ms = 1"),
    ("scenebook_worker", "space_scenes", "status = 'error'"),
    ("scenebook_worker", "paid_calls", "response = '{}'"),
    ("scenebook_relay", "videos", "status = 'failed'"),
    ("scenebook_relay", "scene_channels", "status = 'error'"),
]


@pytest.mark.parametrize(("role", "table", "change"), WRITERS)
def test_an_update_reaches_the_own_rows_only_and_cannot_give_them_away(
    database_url: str,
    alice: UUID,
    bob: UUID,
    videos: dict[UUID, UUID],
    role: str,
    table: str,
    change: str,
) -> None:
    column = TENANT_TABLES[table]
    with session(database_url, role=role, owner=alice) as connection:
        assert connection.execute(f"update public.{table} set {change}").rowcount == 1
        foreign = f"update public.{table} set {change} where {column} = %s"
        assert connection.execute(foreign, (bob,)).rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(f"update public.{table} set {column} = %s", (bob,))


DELETERS = [
    ("scenebook_api", table)
    for table in ("api_keys", "idempotency_keys", "uploads", "webhook_endpoints")
] + [
    ("scenebook_worker", table)
    for table in TENANT_TABLES
    if table in READABLE["scenebook_worker"]
    and table not in ("owners", "uploads", "webhook_endpoints")
]


@pytest.mark.parametrize(("role", "table"), DELETERS)
def test_a_delete_reaches_the_own_rows_only(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID], role: str, table: str
) -> None:
    with session(database_url, role=role, owner=alice) as connection:
        assert connection.execute(f"delete from public.{table}").rowcount == 1
        connection.execute("reset role")
        assert owners_seen(connection, table) == [bob]


@pytest.mark.parametrize("role", ["scenebook_api", "scenebook_worker"])
def test_a_row_of_another_owner_cannot_be_added(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID], role: str
) -> None:
    statement = (
        "insert into public.videos (owner_id, title, source_key, content_hash, bytes)"
        " values (%s, 'A video', 'key', %s, 1)"
    )
    with session(database_url, role=role, owner=alice) as connection:
        connection.execute(statement, (alice, "a new hash"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(statement, (bob, "a new hash"))


def test_an_own_row_cannot_hang_on_another_owners_video(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID]
) -> None:
    statements = [
        "insert into public.scenes (owner_id, video_id, generation, scene_index, start_ms, end_ms,"
        " lease_token) values (%(owner)s, %(video)s, 1, 7, 0, 1, 1)",
        "insert into public.utterances (owner_id, video_id, generation, ordinal, start_ms, end_ms,"
        " text, source) values (%(owner)s, %(video)s, 1, 7, 0, 1, 'hello', 'api')",
        "insert into public.jobs (owner_id, video_id, generation, stage)"
        " values (%(owner)s, %(video)s, 1, 'finalize')",
    ]
    with session(database_url, role="scenebook_worker", owner=alice) as connection:
        for statement in statements:
            with pytest.raises(psycopg.errors.ForeignKeyViolation), connection.transaction():
                connection.execute(statement, {"owner": alice, "video": videos[bob]})


def test_an_owner_of_a_supabase_session_can_write_nothing(
    database_url: str, alice: UUID, videos: dict[UUID, UUID]
) -> None:
    with session(database_url, role="authenticated", owner=alice) as connection:
        for table in TENANT_TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"delete from public.{table}")
        for function in ("current_database()", "auth.uid()"):
            connection.execute(f"select {function}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from scenebook.alembic_version")


def test_the_owner_of_one_transaction_is_gone_in_the_next(
    database_url: str, alice: UUID, bob: UUID, videos: dict[UUID, UUID]
) -> None:
    database = Database(database_url, role=Role.API, pool_size=1)
    count = "select count(*) from public.videos"
    try:
        for owner in (alice, bob) * 5:
            with database.transaction(owner_id=owner) as tx:
                assert tx.exec_driver_sql(count).scalar_one() == 1
            with database.across_owners() as tx:
                assert tx.exec_driver_sql(count).scalar_one() == 0
    finally:
        database.close()


def test_the_owner_is_computed_once_a_statement_and_not_once_a_row(
    database_url: str, alice: UUID, videos: dict[UUID, UUID]
) -> None:
    with session(database_url, role="authenticated", owner=alice) as connection:
        for table in ("videos", "scenes", "scene_embeddings"):
            plan = connection.execute(f"explain select * from public.{table}").fetchall()
            assert any("InitPlan" in line for (line,) in plan)

"""No process works under a role that row security does not hold; each waits for its server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from scenebook.cli.checks import Verdict, check_database
from scenebook.db import schema
from scenebook.db.engine import Database, Role, check_role
from scenebook.db.roles import login_is_unbound
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings
from tests.pipelines import settings_for
from tests.postgres import Server, a_server, make_template
from tests.serving import with_tokens
from tests.stack import Stack, environment, free_port

PROCESSES = {
    Role.API: ("-m", "api"),
    Role.WORKER: (
        "-W", "ignore", "-m", "celery", "--quiet", "-A", "worker.app", "worker", "--pool=prefork",
        "--without-gossip", "--without-mingle",
    ),
    Role.RELAY: ("-m", "worker.relay"),
}  # fmt: skip
# What somebody with too many rights may have done, the words for it, and what undoes it.
WRONG = {
    "superuser": ("alter role {role} superuser", "it is a superuser"),
    "bypassrls": ("alter role {role} bypassrls", "it has BYPASSRLS"),
    "createrole": ("alter role {role} createrole", "it may create roles"),
    "table": ("alter table public.searches owner to {role}", "it owns public.searches"),
    "function": (
        "alter function public.highlight_scenes owner to {role}",
        "it owns public.highlight_scenes",
    ),
    "member": ("grant service_role to {role}", "it may become service_role"),
    "other": ("grant {other} to {role}", "it may become {other}"),
    "not forced": (
        "alter table public.scenes no force row level security",
        "public.scenes has no forced row security",
    ),
    "not enabled": (
        "alter table public.owners disable row level security",
        "public.owners has no forced row security",
    ),
    "new": (
        "create table public.notes (owner_id uuid); grant select on public.notes to {role}",
        "public.notes has no forced row security",
    ),
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server of this module's own: roles are the server's, not a database's."""
    with a_server() as server:
        make_template(server)
        yield server


@pytest.fixture
def url(own_server: Server) -> Iterator[str]:
    with own_server.database() as made:
        yield made


@contextmanager
def altered(url: str, statement: str) -> Iterator[None]:
    """The server with a statement run as superuser, and roles as they were afterwards."""
    roles = ("superuser", "bypassrls", "createrole")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
        try:
            yield
        finally:
            for role in Role:
                connection.execute(f"reassign owned by {role} to current_user".encode())
                connection.execute(
                    f"alter role {role} {' '.join('no' + one for one in roles)}".encode()
                )
                for granted in ("service_role", *(one for one in Role if one is not role)):
                    connection.execute(f"revoke {granted} from {role}".encode())


@pytest.mark.parametrize("wrong", WRONG)
def test_a_role_that_could_see_past_row_security_is_refused_with_what_mends_it(
    url: str, wrong: str
) -> None:
    role = list(Role)[list(WRONG).index(wrong) % len(Role)]
    other = Role.WORKER if role is Role.RELAY else Role.RELAY
    statement, words = (one.format(role=role, other=other) for one in WRONG[wrong])
    check_role(url, role)
    with altered(url, statement):
        with pytest.raises(ConfigurationError, match=f"Refused to work as {role}") as refused:
            check_role(url, role)
        assert words in str(refused.value)
        mended = str(refused.value).rpartition("run: ")[2]
        with psycopg.connect(url) as connection:
            connection.execute(mended.replace("<the login that migrates>", "current_user").encode())
        check_role(url, role)


def test_what_somebody_else_keeps_beside_our_tables_is_no_matter(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table public.their_own (id integer)")
    for role in Role:
        check_role(url, role)


def test_a_pool_that_lives_on_looks_at_each_new_connection(url: str) -> None:
    database = Database(url, role=Role.API, pool_size=1)
    try:
        with database.across_owners() as tx:
            tx.execute(text("select 1"))
        with altered(url, f"alter role {Role.API} bypassrls"):
            database.close()  # as when a connection has become old
            with pytest.raises(ConfigurationError), database.across_owners():
                pass
    finally:
        database.close()


def settings_of(url: str, tmp_path: Path, redis_url: str) -> Settings:
    made = with_tokens(settings_for(url, tmp_path / "data"))
    changes = {"redis_url": redis_url, "port": free_port(), "log_format": "json"}
    return made.model_copy(update=changes)


def start(stack: Stack, role: Role, log: Path) -> subprocess.Popen[bytes]:
    """The process as it is started in production, with what it says in a file."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, *PROCESSES[role]],
            env=environment(stack.settings), stdout=said, stderr=said,
        )  # fmt: skip
    stack._processes.append(process)
    return process


def test_every_process_refuses_at_its_start_in_one_sentence(
    url: str, tmp_path: Path, redis_url: str
) -> None:
    stack = Stack(settings_of(url, tmp_path, redis_url))
    try:
        everybody = "; ".join(f"alter role {role} bypassrls" for role in Role)
        with altered(url, everybody):
            logs = {role: tmp_path / role for role in Role}
            started = {role: start(stack, role, logs[role]) for role in PROCESSES}
            for role, process in started.items():
                assert process.wait(60) == 1, role
                said = logs[role].read_text()
                assert f"Refused to work as {role}, for it has BYPASSRLS" in said
                assert f"run: alter role {role} nobypassrls;" in said
                assert "Traceback" not in said
    finally:
        stack.close()


@pytest.mark.long
def test_a_server_that_is_away_at_the_start_ends_no_process(tmp_path: Path, redis_url: str) -> None:
    away = f"postgresql://postgres@127.0.0.1:{free_port()}/scenebook"
    stack = Stack(settings_of(away, tmp_path, redis_url))
    try:
        started = [start(stack, role, tmp_path / role) for role in PROCESSES]
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            assert [process.poll() for process in started] == [None] * 3
            time.sleep(0.2)
    finally:
        stack.close()


# --- the login behind the role --------------------------------------------------------------------

DOCUMENTED = Path(__file__).parents[1] / "docs/security.md"
LOGIN = DOCUMENTED.read_text("utf-8").partition("```sql")[2].partition("```")[0]


def test_whoever_resets_the_role_of_a_superusers_url_is_one_and_the_doctor_says_so(
    url: str,
) -> None:
    database = Database(url, role=Role.API, pool_size=1)
    try:
        with database.across_owners() as tx:
            tx.execute(text("select set_config('role', 'none', true)"))
            assert login_is_unbound(tx)
    finally:
        database.close()
    (found,) = (one for one in check_database(url) if one.name == "roles")
    assert found.verdict is Verdict.WARN
    assert "plain login" in (found.remedy or "")


@contextmanager
def plain_login(url: str) -> Iterator[str]:
    """The URL with the login that the page documents."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LOGIN.encode())
    plain = make_url(url).set(username="scenebook_login", password="a-long-secret")
    try:
        yield plain.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop owned by scenebook_login; drop role scenebook_login")


def test_behind_a_plain_login_there_is_nothing_to_reset_to(url: str) -> None:
    with plain_login(url) as plain_url:
        for role in Role:
            check_role(plain_url, role)
        assert schema.is_at_head(plain_url)
        (found,) = (one for one in check_database(plain_url) if one.name == "roles")
        assert found.verdict is Verdict.OK
        with psycopg.connect(plain_url, autocommit=True) as connection:
            for escape in ("reset role", "select set_config('role', 'none', false)"):
                connection.execute(f"set role {Role.API}".encode())
                connection.execute(escape.encode())
                for table in ("videos", "api_keys", "jobs"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(f"select * from public.{table}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("set role postgres")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("set role service_role")


def test_a_role_that_the_login_may_not_take_is_named_with_its_grant(url: str) -> None:
    with plain_login(url) as plain_url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"revoke {Role.OPERATOR} from scenebook_login".encode())
        check_role(plain_url, Role.API)
        with pytest.raises(ConfigurationError, match="may not work as") as refused:
            check_role(plain_url, Role.OPERATOR)
        (found,) = (one for one in check_database(plain_url) if one.name == "roles")
        assert (found.verdict, found.detail) == (Verdict.WARN, str(refused.value))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(str(refused.value).rpartition("run: ")[2].encode())
        check_role(plain_url, Role.OPERATOR)

"""Migrations go up, down and up again, print what they run, and wait for each other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scenebook.db import migrate, schema
from scenebook.errors import ConfigurationError, Unavailable
from tests.postgres import a_server
from tests.rows import a_library, a_space, an_owner

REPOSITORY = Path(__file__).resolve().parents[1]

# Everything about our schemas that SQL can see; two equal answers are two equal schemas.
SCHEMA_FACTS = """
with ours as (select oid from pg_namespace where nspname in ('public', 'scenebook', 'auth')),
members as (select objid from pg_depend where deptype = 'e')
select 'relation ' || c.oid::regclass || c.relkind::text || c.relrowsecurity
       || c.relforcerowsecurity || coalesce(array_to_string(c.reloptions, ','), '')
       || coalesce(obj_description(c.oid, 'pg_class'), '') as fact, c.relacl::text as detail
from pg_class as c where c.relnamespace in (select oid from ours)
union all
select 'column ' || a.attrelid::regclass || '.' || a.attname || format_type(a.atttypid, a.atttypmod)
       || a.attnotnull || a.attstorage::text || a.attgenerated::text || a.attidentity::text,
       a.attacl::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_attribute as a join pg_class as c on c.oid = a.attrelid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relnamespace in (select oid from ours) and a.attnum > 0 and not a.attisdropped
union all
select 'constraint ' || k.conrelid::regclass || k.conname, pg_get_constraintdef(k.oid)
from pg_constraint as k where k.connamespace in (select oid from ours)
union all
select 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid) || i.indisvalid
from pg_index as i join pg_class as c on c.oid = i.indexrelid
where c.relnamespace in (select oid from ours)
union all
select 'policy ' || tablename || '.' || policyname || roles::text || cmd,
       qual || coalesce(with_check, '') from pg_policies
union all
select 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
       || coalesce(obj_description(p.oid, 'pg_proc'), '')
from pg_proc as p
where p.pronamespace in (select oid from ours) and p.oid not in (select objid from members)
union all
select 'view ' || c.oid::regclass, pg_get_viewdef(c.oid)
from pg_class as c where c.relkind = 'v' and c.relnamespace in (select oid from ours)
union all
select 'schema ' || n.nspname, coalesce(n.nspacl::text, '') || coalesce(obj_description(n.oid), '')
from pg_namespace as n where n.oid in (select oid from ours)
order by 1, 2
"""


def facts_of(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(SCHEMA_FACTS).fetchall()


def names_in(url: str) -> set[str]:
    """What is left besides the extension's own things."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select n.nspname || '.' || c.relname from pg_class as c"
            " join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname in ('public', 'scenebook', 'auth')"
            " union all select n.nspname || '.' || p.proname from pg_proc as p"
            " join pg_namespace as n on n.oid = p.pronamespace"
            " where n.nspname in ('public', 'scenebook', 'auth') and not exists"
            "  (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')"
            " union all select nspname from pg_namespace where nspname in ('scenebook', 'auth')"
        ).fetchall()
    return {row[0] for row in rows}


def fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        space = a_space(connection)
        for _ in range(2):
            a_library(connection, owner=an_owner(connection), space=space)


def test_an_empty_database_comes_to_head(empty_database_url: str) -> None:
    assert migrate.current(empty_database_url) is None
    assert not schema.is_at_head(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.current(empty_database_url) == schema.head() >= "0006"
    assert schema.is_at_head(empty_database_url)


def test_up_down_and_up_again_give_the_same_schema(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    first = facts_of(empty_database_url)
    fill(empty_database_url)
    migrate.downgrade(empty_database_url)
    assert names_in(empty_database_url) == set()
    migrate.upgrade(empty_database_url)
    assert facts_of(empty_database_url) == first


def test_a_second_upgrade_of_a_filled_database_changes_nothing(database_url: str) -> None:
    fill(database_url)
    before = facts_of(database_url)
    migrate.upgrade(database_url)
    assert facts_of(database_url) == before
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from public.scenes").fetchone() == (2,)


def test_one_step_down_and_up_brings_the_functions_back(database_url: str) -> None:
    before = facts_of(database_url)
    migrate.downgrade(database_url, "-1")
    migrate.upgrade(database_url)
    assert facts_of(database_url) == before


def test_the_printed_sql_makes_the_same_schema(empty_database_url: str, database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(migrate.offline_sql())
    assert facts_of(empty_database_url) == facts_of(database_url)
    assert schema.is_at_head(empty_database_url)
    migrate.upgrade(empty_database_url)


def test_alembic_itself_prints_the_same_sql() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == migrate.offline_sql()


def migrate_in_a_process(url: str) -> None:
    program = "import sys; from scenebook.db import migrate; migrate.upgrade(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, url], check=True)


def test_a_migrator_waits_for_the_lock_and_then_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_WAIT_S", 0.5)
    with (
        migrate.locked_connection(database_url),
        pytest.raises(Unavailable, match="Another migration"),
    ):
        migrate.upgrade(database_url)
    migrate.upgrade(database_url)


def test_two_databases_of_a_fresh_cluster_can_be_migrated_at_once() -> None:
    # Both find the roles missing, and roles belong to the cluster.
    with (
        a_server() as server,
        server.database(template="template0") as one,
        server.database(template="template0") as two,
        ThreadPoolExecutor() as pool,
    ):
        list(pool.map(migrate_in_a_process, [one, two]))
        assert facts_of(one) == facts_of(two)


def test_a_changed_function_is_applied_again_and_others_are_not(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(schema.DIRECTORY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / "functions" / "checked_space.sql"
    changed.write_text(changed.read_text().replace("zero vector", "vector of zeros"))
    before = facts_of(database_url)
    untouched = xmin_of(database_url, "scenes_nearest")

    monkeypatch.setattr(schema, "DIRECTORY", copy)
    assert not schema.is_at_head(database_url)
    migrate.upgrade(database_url)
    assert schema.is_at_head(database_url)
    different = [new for old, new in zip(before, facts_of(database_url), strict=True) if old != new]
    assert [fact.split("(")[0] for fact, _ in different] == ["function scenebook.checked_space"]
    assert xmin_of(database_url, "scenes_nearest") == untouched


def xmin_of(url: str, function: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select xmin::text from pg_proc where proname = %s", (function,)
        ).fetchone()


def test_supabases_own_auth_schema_is_left_alone(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "create schema auth; create function auth.uid() returns uuid language sql stable"
            " as 'select null::uuid'; comment on function auth.uid() is 'Supabase''s own.';"
        )
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url)
    assert names_in(empty_database_url) == {"auth", "auth.uid"}


def test_what_supabase_grants_on_new_tables_is_taken_back(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "alter default privileges in schema public grant all on tables"
            " to anon, authenticated, service_role;"
            "alter default privileges in schema public grant all on functions"
            " to anon, authenticated, service_role"
        )
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        granted = connection.execute(
            "select distinct table_name, privilege_type from information_schema.role_table_grants"
            " where grantee = 'anon' or (grantee = 'authenticated' and privilege_type <> 'SELECT')"
        ).fetchall()
        callable_by_anon = connection.execute(
            "select proname from pg_proc where proname like 'search_scenes%'"
            " and has_function_privilege('anon', oid, 'execute')"
        ).fetchall()
    assert granted == []
    assert callable_by_anon == []


def test_pgvector_in_another_schema_is_refused_with_the_remedy(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("create schema extensions; create extension vector schema extensions")
    with pytest.raises(ConfigurationError, match="alter extension vector set schema public"):
        migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("alter extension vector set schema public")
    migrate.upgrade(empty_database_url)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        migrate.upgrade(f"postgresql://postgres@/nothing?host={tmp_path}")


def test_a_plain_user_who_owns_the_database_can_migrate() -> None:
    # As on hosts that give nobody a superuser; on a server of its own, where no role exists yet.
    with a_server() as server, server.database(template="template0") as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                "create role landlord login createrole; create extension vector;"
                f"alter database {connection.info.dbname} owner to landlord"
            )
        landlord = url.replace("postgres@", "landlord@")
        migrate.upgrade(landlord)
        assert schema.is_at_head(landlord)
        with psycopg.connect(landlord) as connection:
            connection.execute("set role scenebook_worker")
        migrate.downgrade(landlord)
        assert names_in(landlord) == set()


def test_a_user_who_may_not_take_our_roles_learns_the_remedy() -> None:
    with a_server() as server, server.database(template="template0") as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                "create role landlord login createrole; create role scenebook_api;"
                "create extension vector;"
                f"alter database {connection.info.dbname} owner to landlord"
            )
        with pytest.raises(ConfigurationError, match="grant scenebook_api to landlord"):
            migrate.upgrade(url.replace("postgres@", "landlord@"))

"""Migrations: bring a database to this release's schema, take it back, or print the SQL."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
import structlog
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from scenebook.db import revisions
from scenebook.db.engine import OfTheMoment
from scenebook.db.schema import DIRECTORY, SCHEMA, applied, checksum, connection_to, functions, head
from scenebook.errors import ConfigurationError, ScenebookError, Unavailable

log = structlog.get_logger(__name__)

CONTEXT_OPTIONS: dict[str, Any] = {
    "version_table_schema": SCHEMA,
    "transaction_per_migration": True,  # so that a later revision can build indexes concurrently
}

LOCK_KEY = 0x5CE7EB00  # any constant; advisory locks belong to one database
LOCK_POLL_S = 0.2
LOCK_WAIT_S = 120.0

# Whoever waits for a table's lock has everybody who comes later waiting behind: not for long, and
# rather again.
LOCK_TIMEOUT_S = 2
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 1.0

# Classes of SQLSTATE: a connection that broke, a server without room, one that shuts down.
CONNECTION_LOST = ("08", "53", "57P")

PREPARE = f"""
set lock_timeout = '{LOCK_TIMEOUT_S}s';
do $$
begin
    -- Whoever looks first for a deadlock is the one that is ended: rather this than a writer.
    perform set_config('deadlock_timeout', '100ms', false);
exception when insufficient_privilege then
    null;   -- then writers are told to come again
end;
$$;
-- Takes the strongest lock on several tables that are in use. Only for the first one does it wait:
-- it looks for the others again and again, so that nobody waits for it in a circle. Name them as
-- transactions take them, parents first.
create or replace function pg_temp.lock_tables(variadic tables regclass[]) returns void
language plpgsql as $f$
declare
    until constant timestamptz := clock_timestamp() + interval '{LOCK_TIMEOUT_S}s';
    wanted regclass;
begin
    execute format('lock table %s in access exclusive mode', tables[1]);
    foreach wanted in array tables loop
        loop
            begin
                execute format('lock table %s in access exclusive mode nowait', wanted);
                exit;
            exception when lock_not_available then
                if clock_timestamp() > until then
                    raise;
                end if;
                perform pg_sleep(0.005);
            end;
        end loop;
    end loop;
end;
$f$;
create schema if not exists {SCHEMA};
create table if not exists {SCHEMA}.sql_functions (
    name text primary key,
    checksum text not null
);
comment on table {SCHEMA}.sql_functions is 'Which version of each functions/*.sql file is applied.';
{revisions.TABLE.strip()}
"""


def upgrade(url: str) -> None:
    """Bring the database to the newest schema and functions; a second call changes nothing.

    A revision that cannot have its locks is tried again. Raises Unavailable if the server or a lock
    cannot be had, ConfigurationError if the server lacks something (its message says what to
    install) or has a schema that is not of this release.
    """
    with _translated():
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                command.upgrade(_config(url), "head")
                break
            except DBAPIError as error:
                in_the_way = isinstance(error.orig, LockNotAvailable | DeadlockDetected)
                if not in_the_way or attempt == LOCK_ATTEMPTS:
                    raise
                log.info("migration_waits", attempt=attempt, of=LOCK_ATTEMPTS)
                time.sleep(LOCK_PAUSE_S)
    log.info("database_migrated", revision=head())


def downgrade(url: str, revision: str = "base") -> None:
    """Take the database back to a revision; `base` drops everything, data included."""
    with _translated():
        command.downgrade(_config(url), revision)
    log.info("database_downgraded", revision=revision)


def offline_sql() -> str:
    """The SQL that `upgrade` would run on an empty database, for psql or Supabase's editor."""
    buffer = io.StringIO()
    command.upgrade(_config(None, output=buffer), "head", sql=True)
    return buffer.getvalue()


def current(url: str) -> str | None:
    """The revision that the database is at; None before the first migration."""
    with _translated(), connection_to(url) as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        return context.get_current_revision()


def run_file(name: str) -> None:
    """Run (or, offline, print) one `.sql` file of `migrations/versions`; used by revisions."""
    sql = (DIRECTORY / "versions" / name).read_text("utf-8")
    _emit(op.get_context(), sql)


def prepare(context: MigrationContext) -> None:
    """Make the bookkeeping schema that Alembic's own table needs; refuse what is not ours."""
    _emit(context, PREPARE)
    if not context.as_sql:
        assert context.connection is not None
        revisions.refuse_unknown(context.connection, context.get_current_revision())
    _commit(context)


def finish(context: MigrationContext) -> None:
    """Re-apply changed functions at the newest revision; at base, drop the bookkeeping."""
    destination = context.opts.get("destination_rev")
    if destination in ("base", None):
        if destination == "base":
            _emit(context, f"drop schema {SCHEMA} cascade;\n")
            _commit(context)
        return
    _emit(context, revisions.record(head() if context.as_sql else context.get_current_revision()))
    _commit(context)
    if destination not in ("head", "heads", head()):
        return
    known = {} if context.connection is None or context.as_sql else applied(context.connection)
    changed = [(name, sql) for name, sql in functions() if known.get(name) != checksum(sql)]
    if not changed:
        return
    if context.as_sql:
        _emit(context, "begin;")
    for name, sql in changed:
        _emit(context, sql)
        _emit(context, _record(name, sql))
    if context.as_sql:
        _emit(context, "commit;")
    _commit(context)


@contextmanager
def locked_connection(url: str) -> Iterator[sa.Connection]:
    """A connection that holds this database's migration lock.

    The lock is polled: waiting inside pg_advisory_lock would be a transaction for which
    `create index concurrently` of the lock's holder waits in turn, which is a deadlock.
    """
    with connection_to(url) as connection:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(connection):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another migration has been running for {LOCK_WAIT_S:.0f} s. Wait until it "
                    "ends, or look for its session in pg_stat_activity."
                )
            time.sleep(LOCK_POLL_S)
        yield connection


def _try_lock(connection: sa.Connection) -> bool:
    locked = connection.execute(sa.select(sa.func.pg_try_advisory_lock(LOCK_KEY))).scalar_one()
    connection.commit()
    return bool(locked)


def _config(url: str | None, *, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def _record(name: str, sql: str) -> str:
    return (
        f"insert into {SCHEMA}.sql_functions (name, checksum) values ('{name}', '{checksum(sql)}')"
        " on conflict (name) do update set checksum = excluded.checksum;\n"
    )


def _emit(context: MigrationContext, sql: str) -> None:
    if context.as_sql:
        context.impl.static_output(sql)
        return
    assert context.connection is not None
    # Without parameters the driver sends the file as it is: many statements, free use of % and :.
    context.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def _commit(context: MigrationContext) -> None:
    if not context.as_sql and context.connection is not None:
        context.connection.commit()


@contextmanager
def _translated() -> Iterator[None]:
    """Database errors as our own; what the SQL files raise carries its own remedy."""
    try:
        yield
    except DBAPIError as error:
        raise _our_error(error) from error
    except PendingRollbackError as error:  # said instead of the loss, between two transactions
        raise Unavailable(
            "Postgres ended the migration's connection. Nothing is half done: run it again."
        ) from error


def _our_error(error: DBAPIError) -> ScenebookError:
    sqlstate = getattr(error.orig, "sqlstate", None)
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error.orig)
    hint = getattr(diagnosis, "message_hint", None)
    if sqlstate == "55P03":
        return Unavailable(
            f"A table that the migration changes was in use for more than {LOCK_TIMEOUT_S} s, "
            f"{LOCK_ATTEMPTS} times in a row. Nothing is half done: find the long transaction in "
            "pg_stat_activity, and run the migration again."
        )
    lost = sqlstate is None or sqlstate.startswith(CONNECTION_LOST)
    if lost and isinstance(error, OfTheMoment):
        return Unavailable(f"Postgres cannot be reached for migrations: {message}".strip())
    return ConfigurationError(f"The migration stopped: {message}." + (f" {hint}" if hint else ""))

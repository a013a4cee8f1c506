"""The schema that this release needs, and whether a database has it; without Alembic."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from scenebook.db.engine import OfTheMoment, psycopg_url
from scenebook.errors import Unavailable

# Beside the package both in a checkout and in site-packages; not looked up by the import name
# `migrations`, which other projects use too.
DIRECTORY = Path(__file__).resolve().parents[2] / "migrations"

# Bookkeeping lies in a schema that no API exposes.
SCHEMA = "scenebook"


def head() -> str:
    """The newest revision: the files of `migrations/versions` are numbered in their order."""
    return max(path.name[:4] for path in (DIRECTORY / "versions").glob("[0-9]*.py"))


def functions() -> Iterator[tuple[str, str]]:
    """Name and text of every SQL function, in the order in which they are applied."""
    for path in sorted((DIRECTORY / "functions").glob("*.sql")):
        yield path.stem, path.read_text("utf-8")


def checksum(sql: str) -> str:
    """What tells one version of a function from another."""
    return hashlib.sha256(sql.encode()).hexdigest()


def applied(connection: sa.Connection) -> dict[str, str]:
    """The checksums of the functions that the database has, by name."""
    rows = connection.execute(sa.text(f"select name, checksum from {SCHEMA}.sql_functions"))
    return {row.name: row.checksum for row in rows}


def is_at_head(url: str) -> bool:
    """Whether neither a revision nor a changed function waits to be applied.

    A newer release's schema has had all that this one would do: revisions only add, so that the
    old copies go on serving beside the new ones. Raises Unavailable if there is no server.
    """
    try:
        with connection_to(url) as connection:
            return _is_current(connection)
    except OfTheMoment as error:
        raise Unavailable(f"Postgres cannot be reached: {error.args[0]}".strip()) from error


@contextmanager
def connection_to(url: str) -> Iterator[sa.Connection]:
    """A connection as the URL's user; closing it gives back an advisory lock, so it has no pool."""
    engine = sa.create_engine(
        psycopg_url(url),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 5, "application_name": "scenebook_migrate"},
    )
    with engine.connect() as connection:
        yield connection


def _is_current(connection: sa.Connection) -> bool:
    known = sa.text("select to_regclass(:table) is not null")
    if not connection.execute(known, {"table": f"{SCHEMA}.alembic_version"}).scalar_one():
        return False
    at = connection.execute(
        sa.text(f"select version_num from {SCHEMA}.alembic_version")
    ).scalar_one_or_none()
    if at is None or at < head():
        return False
    if at > head():
        return True
    return applied(connection) == {name: checksum(sql) for name, sql in functions()}

"""Fixtures that every test may use: databases and two owners."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from tests.postgres import Server, a_server, make_template

ALICE = UUID("a11ce000-0000-4000-8000-000000000001")
BOB = UUID("b0b00000-0000-4000-8000-000000000002")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """This process's Postgres, with the migrated template; each xdist worker has its own."""
    with a_server() as server:
        make_template(server)
        yield server


@pytest.fixture
def empty_database_url(postgres_server: Server) -> Iterator[str]:
    """A database without anything in it."""
    with postgres_server.database(template="template0") as url:
        yield url


@pytest.fixture
def database_url(postgres_server: Server) -> Iterator[str]:
    """A migrated database of the test's own; the URL's user is a superuser."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def alice(database_url: str) -> UUID:
    """An owner with a row in `owners`."""
    return _owner(database_url, ALICE)


@pytest.fixture
def bob(database_url: str) -> UUID:
    """Another owner, who must see nothing of the first."""
    return _owner(database_url, BOB)


def _owner(url: str, owner_id: UUID) -> UUID:
    with psycopg.connect(url) as connection:
        connection.execute("insert into public.owners (id) values (%s)", (owner_id,))
    return owner_id

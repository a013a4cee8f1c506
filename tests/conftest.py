"""Fixtures that every test may use: databases and two owners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import hypothesis
import psycopg
import pytest
import structlog
from starlette.testclient import TestClient

from scenebook import tracing
from scenebook.db.engine import Database, Role
from scenebook.settings import Settings
from scenebook.storage import Storage
from tests.brokers import a_broker, client_of
from tests.openai_server import OpenAIServer, an_openai_server
from tests.pipelines import Pipeline, a_pipeline, settings_for
from tests.postgres import Server, a_server, make_template
from tests.serving import api_in_process, with_tokens
from tests.stack import Stack, short_leases
from worker.tidying import Tidying

ALICE = UUID("a11ce000-0000-4000-8000-000000000001")
BOB = UUID("b0b00000-0000-4000-8000-000000000002")

# For tests/test_openapi.py: many more made-up requests than a change needs.
hypothesis.settings.register_profile("fuzz")


@pytest.fixture(autouse=True)
def _nothing_bound() -> Iterator[None]:
    """What a command binds to its process, as its trace, is none of the next test's."""
    yield
    structlog.contextvars.clear_contextvars()
    tracing._current.set(None)


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


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """This process's Redis."""
    with a_broker() as server:
        yield server.url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a test's own: its database, its storage, models that need no weights."""
    return with_tokens(settings_for(database_url, tmp_path / "data"))


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """A client of the HTTP service in this process; `headers_of(owner)` signs its requests."""
    with api_in_process(settings) as client:
        yield client


@pytest.fixture
def pipeline(settings: Settings) -> Iterator[Pipeline]:
    """The pipeline in this process."""
    with a_pipeline(settings) as made:
        yield made


@pytest.fixture
def stack(settings: Settings, redis_url: str) -> Iterator[Stack]:
    """Room for real workers and relays, with short leases and an empty broker."""
    client_of(redis_url).flushall()
    made = Stack(settings.model_copy(update=short_leases(redis_url)))
    yield made
    made.close()


@pytest.fixture
def tidying(settings: Settings) -> Iterator[Tidying]:
    """The relay's tidying."""
    assert settings.database_url is not None
    relay = Database(settings.database_url, role=Role.RELAY, pool_size=1)
    yield Tidying(settings, relay, Storage(settings.storage))
    relay.close()


@pytest.fixture
def openai() -> Iterator[OpenAIServer]:
    """Models behind the protocol of OpenAI's API."""
    with an_openai_server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tables that tests measured, below the results."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    for report in reports:
        tables = getattr(report, "user_properties", ())
        for name, lines in tables if getattr(report, "when", "") == "call" else ():
            if name == "table":
                terminalreporter.write_line("\n" + "\n".join(lines))

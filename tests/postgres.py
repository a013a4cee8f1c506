"""A real Postgres for tests: a server a process, a database a test cloned from a migrated one."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from scenebook.db import migrate
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory

TEMPLATE = "migrated"


class Server:
    """A running server without durability; every URL is a superuser's."""

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self._embedded = embedded

    def url(self, database: str) -> str:
        """The URL in the form that both libpq and SQLAlchemy read."""
        return self._embedded.url(database).replace("+psycopg", "", 1)

    def restart(self, *, after_s: float) -> None:
        """Stop the server, breaking every connection, and start it again later."""
        self._embedded.stop()
        time.sleep(after_s)
        self._embedded.start()

    def run(self, statement: str) -> None:
        """One statement outside any transaction, as `create database` needs it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def database(self, *, template: str = TEMPLATE) -> Iterator[str]:
        """The URL of a new database, dropped afterwards; `template0` makes it empty."""
        name = f"t_{uuid4().hex[:12]}"
        self.run(f"create database {name} template {template}")
        try:
            yield self.url(name)
        finally:
            self.run(f"drop database {name} with (force)")


@contextmanager
def a_server() -> Iterator[Server]:
    """A new server that ends with this process, however it ends."""
    # Not below pytest's directory: a socket's path has at most 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="scenebook-test-"))
    socket_dir = private_directory(home / "run")
    embedded = EmbeddedPostgres(home, socket_dir=socket_dir, durable=False)
    try:
        embedded.start()
        yield Server(embedded)
    finally:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)


def make_template(server: Server) -> None:
    """The migrated database that every test's own is cloned from."""
    server.run(f"create database {TEMPLATE}")
    migrate.upgrade(server.url(TEMPLATE))


@contextmanager
def session(url: str, *, role: str, owner: UUID | None = None) -> Iterator[psycopg.Connection]:
    """One transaction as the code opens it, a plain role and perhaps claims; it is rolled back."""
    with psycopg.connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute(f"set role {role}")
        if owner is not None:
            become(connection, json.dumps({"sub": str(owner), "role": "authenticated"}))
        yield connection


def become(connection: psycopg.Connection, claims: str) -> None:
    """Set the raw claims for the rest of the transaction."""
    connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))

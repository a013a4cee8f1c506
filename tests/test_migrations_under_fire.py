"""Migrations meet company: other migrators, SIGKILL at any statement, writers, a newer schema."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from alembic import command

from scenebook.db import migrate
from scenebook.errors import Unavailable
from tests.postgres import Server
from tests.rows import a_video, an_owner
from tests.test_migrations import facts_of, migrate_in_a_process

# Counts what changes the schema, over rollbacks too, and ends the session at the Nth.
NEMESIS = """
create schema nemesis;
create sequence nemesis.statements;
create table nemesis.fatal (number bigint);
create function nemesis.strike() returns event_trigger language plpgsql as $$
begin
    if nextval('nemesis.statements') = (select number from nemesis.fatal) then
        perform pg_terminate_backend(pg_backend_pid());
    end if;
end $$;
create event trigger strike on ddl_command_end execute function nemesis.strike();
"""
# A process of the migration that kills itself before its Nth errand to the server.
DOOMED = """
import os, signal, sys
from sqlalchemy import Engine, event
from scenebook.db import migrate
left = [int(sys.argv[2])]
@event.listens_for(Engine, "before_cursor_execute")
def _strike(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
migrate.upgrade(sys.argv[1])
"""
STATEMENTS = 255  # at least; a test counts them
ERRANDS = 41


@contextmanager
def a_nemesis(url: str, *, fatal: int | None) -> Iterator[None]:
    """What ends the migration's session after so many statements."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(NEMESIS)
        if fatal is not None:
            connection.execute("insert into nemesis.fatal values (%s)", (fatal,))
    yield
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop event trigger strike; drop schema nemesis cascade")


def struck(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select last_value from nemesis.statements").fetchone()
    assert row is not None
    return int(row[0])


def test_five_migrators_at_once_all_succeed_with_one_schema(
    empty_database_url: str, database_url: str
) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(migrate_in_a_process, [empty_database_url] * 5))
    assert facts_of(empty_database_url) == facts_of(database_url)


def survives_the_end_of_its_session(url: str, like: str, fatal: int) -> None:
    with a_nemesis(url, fatal=fatal):
        with pytest.raises(Unavailable):
            migrate.upgrade(url)
        migrate.upgrade(url)
    assert facts_of(url) == facts_of(like)


@pytest.mark.parametrize("fatal", [4, 120, 200, 230])
def test_a_session_that_is_ended_at_a_statement_is_gone_on_with(
    empty_database_url: str, database_url: str, fatal: int
) -> None:
    survives_the_end_of_its_session(empty_database_url, database_url, fatal)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_session_may_be_ended_at_every_statement(
    postgres_server: Server, database_url: str
) -> None:
    with postgres_server.database(template="template0") as url, a_nemesis(url, fatal=None):
        migrate.upgrade(url)
        statements = struck(url)
    assert statements >= STATEMENTS
    for fatal in range(1, statements + 1):
        with postgres_server.database(template="template0") as url:
            survives_the_end_of_its_session(url, database_url, fatal)


def survives_sigkill(url: str, like: str, errand: int) -> bool:
    killed = subprocess.run([sys.executable, "-c", DOOMED, url, str(errand)], check=False)
    if killed.returncode == 0:
        return False
    assert killed.returncode == -signal.SIGKILL
    migrate.upgrade(url)
    assert facts_of(url) == facts_of(like)
    return True


@pytest.mark.parametrize("errand", [10, 24])
def test_a_migrator_that_is_killed_is_followed_by_one_that_goes_on(
    empty_database_url: str, database_url: str, errand: int
) -> None:
    assert survives_sigkill(empty_database_url, database_url, errand)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_migrator_may_be_killed_before_every_errand(
    postgres_server: Server, database_url: str
) -> None:
    errand = 1
    while True:
        with postgres_server.database(template="template0") as url:
            if not survives_sigkill(url, database_url, errand):
                break
        errand += 1
    assert errand >= ERRANDS


def test_an_invalid_index_is_dropped_and_built_anew(
    empty_database_url: str, database_url: str
) -> None:
    command.upgrade(migrate._config(empty_database_url), "0002")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        # What a build leaves that was ended while it ran.
        connection.execute(
            "create index keyframes_owner_image_hash_idx on public.keyframes (owner_id, image_hash)"
        )
        connection.execute(
            "update pg_index set indisvalid = false"
            " where indexrelid = 'public.keyframes_owner_image_hash_idx'::regclass"
        )
    migrate.upgrade(empty_database_url)
    assert facts_of(empty_database_url) == facts_of(database_url)  # says of each if it is valid


class Writers:
    """Sessions that write and search all the time, with statements that every revision knows."""

    def __init__(self, url: str, *, sessions: int) -> None:
        self._url = url
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(sessions)
        self._waits: list[float] = []
        self.deadlocks = 0
        self._running = [self._pool.submit(self._work) for _ in range(sessions)]

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    self._round(connection)
                except psycopg.errors.DeadlockDetected:  # as a job, it comes again
                    self.deadlocks += 1
                self._waits.append(time.monotonic() - began)

    def _round(self, connection: psycopg.Connection) -> None:
        with connection.transaction():
            owner = an_owner(connection)
            video = a_video(connection, owner=owner)
            connection.execute(
                "insert into public.scenes (owner_id, video_id, generation, scene_index, start_ms,"
                " end_ms, transcript, lease_token)"
                " select %s, %s, 1, n, n, n + 1, 'good morning', 1 from generate_series(0, 9) as n",
                (owner, video),
            )
            connection.execute(
                "insert into public.keyframes (owner_id, scene_id, at_ms, rank, quality, image_key,"
                " image_hash) select owner_id, id, 0, 0, '{}', 'key', 'hash' from public.scenes"
                " where owner_id = %s and video_id = %s",
                (owner, video),
            )
            connection.execute(
                "insert into public.jobs (owner_id, video_id, generation, stage)"
                " values (%s, %s, 1, 'probe')",
                (owner, video),
            )
        connection.execute(
            "select count(*) from public.scenes"
            " where search_text @@ to_tsquery('simple', 'morning') and owner_id = %s",
            (owner,),
        )

    def stop(self) -> list[float]:
        """How long each round took; raises what a session met."""
        self._stop.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()
        return sorted(self._waits)


@contextmanager
def a_transaction_in_the_way(url: str, *, for_s: float) -> Iterator[None]:
    """Somebody who has read scenes and does not end, for a time."""
    with psycopg.connect(url) as connection:
        connection.execute("select count(*) from public.scenes")
        end = threading.Timer(for_s, connection.rollback)
        end.start()
        yield
        end.join()


def test_migrating_under_writers_loses_nothing_and_tries_again_for_its_locks(
    empty_database_url: str,
    database_url: str,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(migrate.log, "info", lambda event, **_: tried.append(event), raising=False)
    url = empty_database_url
    command.upgrade(migrate._config(url), "0001")
    writers = Writers(url, sessions=3)
    try:
        with a_transaction_in_the_way(url, for_s=migrate.LOCK_TIMEOUT_S + 1.5):
            migrate.upgrade(url)
    finally:
        waits = writers.stop()
    assert "migration_waits" in tried
    assert facts_of(url) == facts_of(database_url)
    with psycopg.connect(url) as connection:
        lost = connection.execute(
            "select count(*) from public.videos as v where 10 <> (select count(*)"
            " from public.scenes as s where s.video_id = v.id and s.search_text is not null)"
        ).fetchone()
    assert lost == (0,)
    # Who waits behind the migration waits as long as it waits for its lock, and not much longer.
    assert waits[-1] < migrate.LOCK_TIMEOUT_S + 3
    record_property(
        "table",
        [
            f"migrating under 3 writers: {len(waits)} rounds of 23 rows, longest "
            f"{1000 * waits[-1]:.0f} ms, p99 {1000 * waits[int(0.99 * len(waits))]:.0f} ms, "
            f"{writers.deadlocks} told to come again"
        ],
    )

"""What a process keeps beside its answers: its secret, the log of searches, answers paid for."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from scenebook.db.engine import Database, Role
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.errors import ConfigurationError
from scenebook.search_log import Searched, SearchLog
from scenebook.settings import Settings
from scenebook.signing import SECRET_FILE, secret_of


def test_processes_that_start_together_have_one_secret_and_never_half_of_it(
    settings: Settings,
) -> None:
    path = settings.scenebook_data_dir / SECRET_FILE
    path.unlink(missing_ok=True)
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(secret_of, [settings] * 32))
    assert [len(one) for one in secrets] == [64]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir() if SECRET_FILE in one.name] == [SECRET_FILE]


def test_a_file_without_a_secret_is_no_secret(settings: Settings) -> None:
    path: Path = settings.scenebook_data_dir / SECRET_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="holds no secret"):
        secret_of(settings)


def test_the_log_of_searches_outlives_what_cannot_be_written(
    settings: Settings, database_url: str, alice: UUID, bob: UUID
) -> None:
    assert settings.database_url is not None
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("revoke insert on public.searches from scenebook_api")
        db = Database(settings.database_url, role=Role.API)
        log = SearchLog(db, pause_s=0.01)
        log.add(_searched(alice))
        _wait_until(lambda: log._waiting.empty())
        connection.execute("grant insert on public.searches to scenebook_api")
        for _ in range(1200):  # more than are written at once
            log.add(_searched(bob))
        log.close()
        db.close()
        rows = connection.execute("select owner_id, count(*) from searches group by 1").fetchall()
    assert (bob, 1200) in rows


def test_who_only_searches_is_answered_by_a_paid_model_too(settings: Settings, bob: UUID) -> None:
    assert settings.database_url is not None
    db = Database(settings.database_url, role=Role.API)
    stranger = uuid4()
    PaidCallsOf(db, owner_id=stranger).put("k", {"a": 1}, kind="embedding")
    assert PaidCallsOf(db, owner_id=stranger).get("k") == {"a": 1}
    assert PaidCallsOf(db, owner_id=bob).get("k") is None
    db.close()


def _searched(owner_id: UUID) -> Searched:
    return Searched(owner_id, 1.0, {"lexical": {"search": 1.0}}, (), 3)


def _wait_until(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        time.sleep(0.01)
    pytest.fail("It was not done in time.")

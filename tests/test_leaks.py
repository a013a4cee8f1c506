"""What could leak beside rows: a pooled connection's owner, and what is logged."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scenebook import logs
from scenebook.db.engine import Database, Role
from scenebook.errors import ScenebookError
from tests.conftest import ALICE, BOB
from tests.pipelines import settings_for
from tests.rows import a_scene, a_video, an_owner
from tests.serving import api_in_process, headers_of, with_tokens
from tests.worlds import UUIDS

OPERATIONS = 1000


@pytest.fixture
def single(database_url: str) -> Iterator[Database]:
    """A pool of one connection, and a video each of two owners."""
    with psycopg.connect(database_url) as connection:
        for owner in (ALICE, BOB):
            a_video(connection, owner=an_owner(connection, owner))
    made = Database(database_url, role=Role.API, pool_size=1)
    yield made
    made.close()


def test_of_a_thousand_operations_on_one_connection_none_sees_the_owner_before(
    single: Database,
) -> None:
    chance = random.Random(7)
    # Ways for an operation to end; most of them well.
    endings = {
        "well": "select 1",
        "wrong": "select 1 / 0",
        "refused": "delete from public.scenes",
        "too long": "set local statement_timeout = '1ms'; select pg_sleep(1)",
        "cancelled": "select pg_cancel_backend(pg_backend_pid())",
        "lost": "select pg_terminate_backend(pg_backend_pid())",
    }
    weights = (90, 3, 3, 2, 1.5, 0.5)
    for number in range(OPERATIONS):
        owner = (ALICE, BOB)[number % 2]
        role = "authenticated" if number % 3 == 0 else None
        ending = chance.choices(list(endings.values()), weights)[0]
        with (
            suppress(DBAPIError, ScenebookError),
            single.transaction(owner_id=owner, role=role) as tx,
        ):
            assert tx.execute(text("select owner_id from public.videos")).scalars().all() == [owner]
            tx.exec_driver_sql(ending)
        if number % 10 == 0:
            with single.engine.connect() as left:
                said = text(
                    "select current_user, current_setting('request.jwt.claims', true),"
                    " current_setting('request.jwt.claim.sub', true)"
                )
                user, *claims = left.execute(said).one()
                assert user == Role.API
                assert not any(claims)
                assert not left.execute(text("select id from public.videos")).all()


def test_no_line_of_the_log_holds_ids_of_two_owners(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    titles = {ALICE: "Alice's secret wedding", BOB: "Bob's hidden stash"}
    whose: dict[str, UUID] = {}
    scenes = {}
    with psycopg.connect(database_url) as connection:
        for owner, title in titles.items():
            video = a_video(connection, owner=an_owner(connection, owner))
            connection.execute("update public.videos set title = %s where id = %s", (title, video))
            scenes[owner] = a_scene(connection, owner=owner, video=video, transcript=title)
            whose |= {str(one): owner for one in (owner, video, scenes[owner])}
    settings = with_tokens(settings_for(database_url, tmp_path / "data", log_format="json"))
    logs.configure(settings)
    with api_in_process(settings) as api:

        def use(owner: UUID) -> None:
            for _ in range(10):
                for path in ("/v1/videos", f"/v1/scenes/{scenes[owner]}", "/v1/keys"):
                    assert api.get(path, headers=headers_of(owner)).is_success
                asked = {"text": titles[owner]}
                assert api.post("/v1/search", json=asked, headers=headers_of(owner)).is_success
                api.post("/v1/search", json={"text": 5}, headers=headers_of(owner))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, (ALICE, BOB, ALICE, BOB)))
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if line.startswith("{")]
    known = [{whose[one] for one in UUIDS.findall(line) if one in whose} for line in lines]
    assert all(len(owners) <= 1 for owners in known)
    assert sum(owners == {ALICE} for owners in known) >= 50
    for line in lines:
        assert not re.search("wedding|stash", line), json.loads(line)

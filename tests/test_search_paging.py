"""Pages by the last row of the page before neither repeat nor lose a scene while others come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest

from scenebook.db.engine import Database, Role
from scenebook.db.search import find_similar_scenes, search_scenes
from scenebook.model import Channel
from tests.conftest import ALICE, BOB
from tests.postgres import session
from tests.rows import EAST, NORTH, UP, a_space, an_embedding, an_owner, between, scenes_with
from tests.searching import found, rows_of

# Ties, and several vectors a scene, on both sides of every page's end.
LADDER = [NORTH] * 4 + [between(NORTH, EAST, weight=w / 20) for w in range(1, 8)] + [EAST] * 5

OnePage = Callable[[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture
def space(database_url: str) -> int:
    """Alice has the ladder, each scene with a second vector farther off; Bob has the same."""
    with psycopg.connect(database_url) as tx:
        made = a_space(tx)
        for owner in (ALICE, BOB):
            for scene in scenes_with(tx, LADDER, owner=an_owner(tx, owner), space=made):
                an_embedding(tx, UP, scene=scene, space=made, ordinal=1)
    return made


def pages(one_page: OnePage, between_pages: Callable[[], None]) -> list[UUID]:
    """All scenes of all pages, with something happening between one page and the next."""
    scenes: list[UUID] = []
    key: dict[str, Any] = {}
    while rows := one_page(key):
        scenes += found(rows)
        key = {
            "after_similarity": rows[-1]["similarity"],
            "after_scene_id": rows[-1]["scene_id"],
        }
        between_pages()
    return scenes


def asking(url: str, **arguments: Any) -> OnePage:
    def one_page(key: dict[str, Any]) -> list[dict[str, Any]]:
        with session(url, role="authenticated", owner=ALICE) as connection:
            return rows_of(connection, NORTH, owner=ALICE, **arguments, **key)

    return one_page


@pytest.mark.parametrize("size", [1, 3, 5, 50])
def test_pages_are_the_whole_answer_in_its_order(database_url: str, space: int, size: int) -> None:
    whole = found(asking(database_url, match_count=1000)({}))
    assert len(whole) == len(LADDER)
    assert pages(asking(database_url, match_count=size), lambda: None) == whole


def test_what_comes_between_pages_moves_nothing(database_url: str, space: int) -> None:
    before = found(asking(database_url, match_count=1000)({}))

    def insert() -> None:
        with psycopg.connect(database_url) as tx:
            scenes_with(tx, [NORTH, LADDER[6], EAST], owner=ALICE, space=space)

    paged = pages(asking(database_url, match_count=3), insert)
    assert len(paged) == len(set(paged))
    assert [scene for scene in paged if scene in set(before)] == before


def test_rows_that_came_after_the_first_page_can_be_left_out(database_url: str, space: int) -> None:
    before = found(asking(database_url, match_count=1000)({}))
    with psycopg.connect(database_url) as tx:
        (moment,) = tx.execute("select clock_timestamp()").fetchone() or (None,)
    assert isinstance(moment, datetime)

    def insert() -> None:
        with psycopg.connect(database_url) as tx:
            scenes_with(tx, [NORTH, EAST], owner=ALICE, space=space)

    def one_page(key: dict[str, Any]) -> list[dict[str, Any]]:
        with session(database_url, role="scenebook_api", owner=ALICE) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            return cursor.execute(
                "select * from scenebook.scenes_nearest('visual_clip', '[1,0,0,0]'::public.vector,"
                " -1, 3, null, %s, null, 0, as_of => %s, after_similarity => %s,"
                " after_scene_id => %s)",
                (ALICE, moment, key.get("after_similarity"), key.get("after_scene_id")),
            ).fetchall()

    insert()
    assert pages(one_page, insert) == before


def test_typed_searches_page_by_the_last_match(database_url: str, space: int) -> None:
    whole, north = asking(database_url, match_count=1000)({}), np.array(NORTH, np.float32)
    database = Database(database_url, role=Role.API, pool_size=1)
    try:
        with database.transaction(owner_id=ALICE) as tx:
            asked: dict[str, Any] = {
                "owner_id": ALICE, "channel": Channel.VISUAL_CLIP, "threshold": -1, "limit": 6,
            }  # fmt: skip
            first = search_scenes(tx, query=north, **asked)
            second = search_scenes(tx, query=north, after=first[-1], **asked)
            assert [one.scene_id for one in first + second] == found(whole)[:12]
            assert {one.exact for one in first} == {True}
            scene = whole[0]["scene_id"]
            near = find_similar_scenes(tx, scene_id=scene, **asked)
            more = find_similar_scenes(tx, scene_id=scene, after=near[-1], **asked)
            every = find_similar_scenes(tx, scene_id=scene, **asked | {"limit": 100})
            assert near + more == every[:12]
            assert len(every) == len(LADDER) - 1
    finally:
        database.close()

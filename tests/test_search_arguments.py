"""The search functions refuse what is unclear, and storage refuses what would spoil a search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import ALICE
from tests.postgres import Server, session
from tests.rows import NORTH, Direction, a_space, an_embedding, an_owner, scenes_with
from tests.searching import rows_of


@pytest.fixture(scope="module")
def database_url(postgres_server: Server) -> Iterator[str]:
    """One database for all tests here: Alice has one scene, and nothing is changed."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as tx:
            scenes_with(tx, [NORTH], owner=an_owner(tx, ALICE), space=a_space(tx))
        yield url


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("null owner", {"owner": None}, "filter_user_id is required"),
    ("null query", {"query": None}, "query_embedding is required"),
    ("zero vector", {"query": (0, 0, 0, 0)}, "zero vector"),
    ("nearly zero vector", {"query": (1e-30, 0, 0, 0)}, "zero vector"),
    ("huge vector", {"query": (1e38, 0, 0, 0)}, "too long"),
    ("longest vector", {"query": (3e38, 3e38, 3e38, 3e38)}, "too long"),
    ("too short", {"query": (1, 0)}, "has 2 dimensions, the channel visual_clip has 4"),
    ("no threshold", {"match_threshold": None}, "match_threshold"),
    ("NaN threshold", {"match_threshold": float("nan")}, "match_threshold"),
    ("no count", {"match_count": None}, "match_count"),
    ("count 0", {"match_count": 0}, "match_count"),
    ("count -1", {"match_count": -1}, "match_count"),
    ("count 1001", {"match_count": 1001}, "match_count"),
    ("no offset", {"match_offset": None}, "match_offset"),
    ("offset -1", {"match_offset": -1}, "match_offset"),
    ("offset 1e9", {"match_offset": 10**9}, "match_offset"),
    ("half a key", {"after_similarity": 0.5}, "belong together"),
    ("other half of a key", {"after_scene_id": ALICE}, "belong together"),
    ("NaN key", {"after_similarity": float("nan"), "after_scene_id": ALICE}, "belong together"),
    (
        "key and offset",
        {"after_similarity": 0.5, "after_scene_id": ALICE, "match_offset": 1},
        "exclude each other",
    ),
    ("unknown space", {"filter_space_id": 999}, "does not belong to the channel"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_unclear_arguments_are_refused_with_a_hint(
    database_url: str, arguments: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"query": NORTH, "owner": ALICE} | arguments
    with (
        session(database_url, role="authenticated", owner=ALICE) as connection,
        pytest.raises(psycopg.Error, match=message) as refused,
    ):
        rows_of(connection, **given)
    assert refused.value.sqlstate == "PT400"
    assert refused.value.diag.message_hint


@pytest.mark.parametrize("text", ["[1,0,0,NaN]", "[1,0,0,Infinity]", "[1e39,0,0,0]", "[]", "north"])
def test_a_query_that_is_no_vector_is_refused(database_url: str, text: str) -> None:
    with (
        session(database_url, role="authenticated", owner=ALICE) as connection,
        pytest.raises(psycopg.DataError),
    ):
        connection.execute(
            "select * from public.search_scenes_by_visual_clip_embedding("
            f"'{text}', filter_user_id => '{ALICE}')"
        )


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ((0, 0, 0, 0), "check"),
        ((2, 0, 0, 0), "check"),
        ((1, 0, 0), "foreign key"),
        ((float("nan"), 0, 0, 0), "NaN"),
    ],
)
def test_a_vector_that_would_spoil_a_search_cannot_be_stored(
    database_url: str, vector: Direction, why: str
) -> None:
    with psycopg.connect(database_url) as tx:
        rows = tx.execute("select scene_id, space_id from public.scene_embeddings").fetchall()
        ((scene, space),) = rows
        with pytest.raises(psycopg.Error, match=why):
            an_embedding(tx, vector, scene=scene, space=space, ordinal=1)
        tx.rollback()

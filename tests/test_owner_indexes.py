"""A big owner's own index finds what exact search finds, or is not used; others search exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest

from scenebook import owner_indexes, spaces
from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace
from scenebook.errors import ConfigurationError
from scenebook.model import Channel
from scenebook.spaces import Operator
from tests.commands import Scenebook
from tests.conftest import ALICE, BOB
from tests.libraries import Floats, around, load, nearest, some_topics
from tests.postgres import Server, session
from tests.rows import a_space, an_owner
from tests.searching import found, rows_of

DIMENSIONS = 64
GIANT, MIDDLE, SMALL = ALICE, UUID("c0a00000-0000-4000-8000-000000000003"), BOB
SIZES = {GIANT: 6000, MIDDLE: 2500, SMALL: 40}


@dataclass
class Library:
    """Three owners in one table; the giant has an index of its own."""

    url: str
    operator: Operator
    stored: StoredSpace
    vectors: dict[UUID, Floats]
    scenes: dict[UUID, list[UUID]]
    queries: dict[str, Floats]

    def rows(self, query: Floats, owner: UUID = GIANT, **arguments: Any) -> list[dict[str, Any]]:
        with session(self.url, role="scenebook_api", owner=owner) as connection:
            return rows_of(connection, query.tolist(), owner=owner, **arguments)

    def exactly(self, query: Floats, owner: UUID = GIANT, count: int = 20) -> list[UUID]:
        return nearest(self.vectors[owner], self.scenes[owner], query, count)

    def scans(self) -> int:
        """How often the giant's index was walked, once the server has counted."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                "select idx_scan from pg_stat_user_indexes where indexrelname = %s",
                (f"owner_hnsw_{self.stored.id}_{GIANT.hex}",),
            ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def library(postgres_server: Server) -> Iterator[Library]:
    """One library for all tests here; what a test changes it puts back."""
    rng = np.random.default_rng(2026)
    topics, others = (some_topics(30, DIMENSIONS, rng) for _ in range(2))
    vectors = {owner: around(topics, size, rng) for owner, size in SIZES.items()}
    with postgres_server.database() as url:
        with psycopg.connect(url) as tx:
            space = a_space(tx, dimensions=DIMENSIONS)
            scenes = {
                owner: load(tx, vectors[owner], owner=an_owner(tx, owner), space=space)
                for owner in SIZES
            }
            tx.execute("analyze")
        with (
            closing(Database(url, role=Role.WORKER, pool_size=1)) as db,
            closing(Database(url, role=Role.RELAY, pool_size=1)) as relay,
        ):
            operator = Operator(db, relay)
            stored = spaces.space_for(
                operator, space_id=None, channel=Channel.VISUAL_CLIP, among=["active"]
            )
            owner_indexes.build(operator, url, owner_id=GIANT, stored=stored)
            queries = {"on": around(topics, 12, rng), "off": around(others, 12, rng)}
            yield Library(url, operator, stored, vectors, scenes, queries)


@pytest.mark.parametrize("kind", ["on", "off"])
@pytest.mark.parametrize("owner", SIZES, ids=["giant", "middle", "small"])
def test_twelve_calls_in_a_row_find_what_exact_search_finds(
    library: Library, owner: UUID, kind: str
) -> None:
    hits, exact = 0, []
    with session(library.url, role="scenebook_api", owner=owner) as connection:
        for query in library.queries[kind]:
            rows = rows_of(connection, query.tolist(), owner=owner)
            assert len(rows) == 20
            assert [r["similarity"] for r in rows] == sorted(
                (r["similarity"] for r in rows), reverse=True
            )
            hits += len(set(found(rows)) & set(library.exactly(query, owner)))
            exact.append(rows[0]["exact"])
    if (owner, kind) == (GIANT, "off"):
        assert any(exact)  # what does not stand out is left to exact search
    else:
        assert exact == [owner != GIANT] * 12
    assert hits / (12 * 20) >= 0.99


def test_the_index_is_walked_for_its_owner_only(library: Library) -> None:
    before = library.scans()
    for owner in (MIDDLE, SMALL):
        library.rows(library.queries["on"][0], owner)
    assert library.scans() == before
    with session(library.url, role="authenticated", owner=SMALL) as connection:
        assert rows_of(connection, library.queries["on"][0].tolist(), owner=GIANT) == []
    library.rows(library.queries["on"][0])
    deadline = time.monotonic() + 30
    while library.scans() == before:
        assert time.monotonic() < deadline, "the index was not used"
        time.sleep(0.05)


def test_what_an_index_is_not_made_for_is_searched_exactly(library: Library) -> None:
    query = library.queries["on"][0]
    best = library.rows(query)
    some = library.scenes[GIANT][:500]
    asked: list[dict[str, Any]] = [
        {"filter_video_id": best[0]["video_id"]},
        {"match_offset": 290, "match_count": 20},
        {"after_similarity": best[4]["similarity"], "after_scene_id": best[4]["scene_id"]},
    ]
    for arguments in asked:
        assert {row["exact"] for row in library.rows(query, **arguments)} == {True}
    with session(library.url, role="scenebook_api", owner=GIANT) as connection:
        rows = connection.execute(
            "select scene_id, exact from scenebook.scenes_nearest("
            "'visual_clip', %s::public.vector, -1, 20, null, %s, null, 0, %s)",
            (str(query.tolist()), GIANT, some),
        ).fetchall()
    assert [scene for scene, _ in rows] == [
        scene for scene in library.exactly(query, count=6000) if scene in set(some)
    ][:20]
    assert {exact for _, exact in rows} == {True}


def test_a_page_that_the_threshold_ends_is_whole(library: Library) -> None:
    query = library.queries["on"][1]
    best = library.rows(query, match_count=60)
    assert not best[0]["exact"]
    threshold = best[30]["similarity"]
    rows = library.rows(query, match_count=100, match_threshold=threshold)
    assert found(rows) == found(best)[:31]
    assert not rows[0]["exact"]
    assert library.rows(query, match_threshold=0.9999) == []


def test_scenes_that_readers_do_not_see_make_no_page_short(library: Library) -> None:
    query = library.queries["on"][2]
    hidden = library.exactly(query, count=100)
    with psycopg.connect(library.url) as tx:
        tx.execute(
            "update public.scene_embeddings set generation = 2 where scene_id = any (%s)", (hidden,)
        )
    rows = library.rows(query)
    with psycopg.connect(library.url) as tx:
        tx.execute(
            "update public.scene_embeddings set generation = 1 where scene_id = any (%s)", (hidden,)
        )
    assert len(rows) == 20
    assert not set(found(rows)) & set(hidden)
    assert {row["exact"] for row in rows} == {True}


def test_similar_scenes_of_a_giant_are_found_by_its_index(library: Library) -> None:
    scene = library.scenes[GIANT][0]
    with session(library.url, role="authenticated", owner=GIANT) as connection:
        rows = connection.execute(
            "select scene_id, exact from public.find_similar_scenes("
            "to_scene_id => %s, match_threshold => -1, filter_user_id => %s)",
            (scene, GIANT),
        ).fetchall()
    stored = library.vectors[GIANT][0].astype(np.float16).astype(np.float32)
    hits = {found for found, _ in rows} & set(library.exactly(stored, count=21)[1:])
    assert len(rows) == 20
    assert len(hits) >= 19
    assert not rows[0][1]


def test_an_index_that_was_not_built_to_its_end_is_not_used_and_is_built_anew(
    library: Library,
) -> None:
    name = f"public.owner_hnsw_{library.stored.id}_{GIANT.hex}"
    with psycopg.connect(library.url) as tx:
        tx.execute(
            "update pg_index set indisvalid = false where indexrelid = %s::regclass", (name,)
        )
    query = library.queries["on"][3]
    assert library.rows(query)[0]["exact"]
    assert owner_indexes.list_owners(library.operator) == []
    built = owner_indexes.build(
        library.operator, library.url, owner_id=GIANT, stored=library.stored
    )
    assert built.vectors == SIZES[GIANT]
    assert not library.rows(query)[0]["exact"]


def owner_indexes_of(library: Library, *, has_index: bool) -> list[owner_indexes.OwnerReport]:
    return [
        one
        for one in owner_indexes.list_owners(library.operator)
        if one.vectors.has_index is has_index
    ]


def test_owners_with_an_index_and_those_that_should_have_one_are_listed(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    (giant,) = owner_indexes.list_owners(library.operator)
    assert (giant.vectors.owner_id, giant.vectors.count) == (GIANT, SIZES[GIANT])
    assert giant.vectors.has_index
    monkeypatch.setattr(owner_indexes, "ADVISABLE_ABOVE", 2000)
    (middle,) = owner_indexes_of(library, has_index=False)
    assert middle.vectors.owner_id == MIDDLE
    assert middle.is_advisable


def test_a_login_that_does_not_own_the_tables_is_told_so(library: Library) -> None:
    plain = f"{library.url}{'&' if '?' in library.url else '?'}options=-c%20role%3Dscenebook_api"
    with pytest.raises(ConfigurationError, match="MIGRATIONS_DATABASE_URL"):
        owner_indexes.build(library.operator, plain, owner_id=MIDDLE, stored=library.stored)
    assert not owner_indexes.drop(library.operator, plain, owner_id=MIDDLE, stored=library.stored)


def test_the_command_lists_builds_and_drops(library: Library, tmp_path: Path) -> None:
    command = Scenebook(tmp_path / "data", DATABASE_URL=library.url)
    (giant,) = command.json("spaces", "index")
    assert giant == {
        "owner": str(GIANT),
        "space": library.stored.id,
        "channel": "visual_clip",
        "vectors": SIZES[GIANT],
        "has_index": True,
        "advisable": False,
    }
    of_small = ("spaces", "index", "--owner", str(SMALL), "--channel", "visual_clip")
    assert command.json(*of_small)["vectors"] == SIZES[SMALL]
    assert command.json(*of_small, "--drop")["dropped"] is True


def test_a_dropped_index_leaves_exact_search(library: Library) -> None:
    query = library.queries["on"][4]
    owner_indexes.build(library.operator, library.url, owner_id=MIDDLE, stored=library.stored)
    assert not library.rows(query, MIDDLE)[0]["exact"]
    dropped = [
        owner_indexes.drop(library.operator, library.url, stored=library.stored, owner_id=MIDDLE)
        for _ in range(2)
    ]
    assert dropped == [1, 0]
    rows = library.rows(query, MIDDLE)
    assert found(rows) == library.exactly(query, MIDDLE)
    assert {row["exact"] for row in rows} == {True}

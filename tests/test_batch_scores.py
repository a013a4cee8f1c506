"""batch_score_scenes_clip says how similar given scenes of one owner are to a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from scenebook.db.engine import Database, Role
from scenebook.db.search import batch_score_scenes_clip
from tests.postgres import session
from tests.rows import (
    EAST,
    NORTH,
    SOUTH,
    Direction,
    a_scene,
    a_space,
    a_video,
    an_embedding,
    between,
    literal,
    scenes_with,
)


def scores(
    url: str,
    scenes: Sequence[UUID] | None,
    *,
    owner: UUID,
    query: Direction | None = NORTH,
    asked: UUID | None = None,
    space: int | None = None,
) -> list[tuple[Any, ...]]:
    with session(url, role="authenticated", owner=owner) as connection:
        return connection.execute(
            "select * from public.batch_score_scenes_clip(query_embedding => %s::public.vector,"
            " scene_ids => %s::uuid[], filter_user_id => %s, filter_space_id => %s)",
            (None if query is None else literal(query), scenes, asked or owner, space),
        ).fetchall()


def test_given_scenes_are_scored_by_their_best_vectors(
    database_url: str, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url) as tx:
        space = a_space(tx)
        north, half, south, left_out = scenes_with(
            tx, [NORTH, EAST, SOUTH, NORTH], owner=alice, space=space
        )
        an_embedding(tx, between(NORTH, EAST), scene=half, space=space, ordinal=1, at_ms=700)
        (his,) = scenes_with(tx, [NORTH], owner=bob, space=space)
        bare = a_scene(tx, owner=alice, video=a_video(tx, owner=alice))
        gone = a_scene(tx, owner=alice, video=a_video(tx, owner=alice, status="deleting"))
        an_embedding(tx, NORTH, scene=gone, space=space)
    asked = [south, his, half, north, north, bare, gone, uuid4()]
    rows = scores(database_url, asked, owner=alice)
    assert [(scene, at) for scene, _, at in rows] == [(north, None), (half, 700), (south, None)]
    assert [similarity for _, similarity, _ in rows] == pytest.approx([1, 0.7071, -1], abs=1e-3)
    assert scores(database_url, asked, owner=bob, asked=alice) == []
    assert [row[0] for row in scores(database_url, asked, owner=bob)] == [his]
    assert scores(database_url, [], owner=alice) == []
    database = Database(database_url, role=Role.API, pool_size=1)
    with database.transaction(owner_id=alice) as transaction:
        typed = batch_score_scenes_clip(
            transaction, owner_id=alice, query=np.array(NORTH, np.float32), scene_ids=asked
        )
    database.close()
    assert [(one.scene_id, one.similarity, one.matched_ms) for one in typed] == rows
    assert left_out not in {one.scene_id for one in typed}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenes": None}, "scene_ids"),
        ({"scenes": [UUID(int=i) for i in range(1001)]}, "1000 at most"),
        ({"query": None}, "query_embedding is required"),
        ({"query": (0, 0, 0, 0)}, "zero vector"),
        ({"query": (1e38, 0, 0, 0)}, "too long"),
        ({"query": (1, 0)}, "has 2 dimensions"),
        ({"space": 999}, "does not belong"),
    ],
)
def test_unclear_arguments_are_refused_with_a_hint(
    database_url: str, alice: UUID, arguments: dict[str, Any], message: str
) -> None:
    with psycopg.connect(database_url) as tx:
        (scene,) = scenes_with(tx, [NORTH], owner=alice, space=a_space(tx))
    given = {"scenes": [scene]} | arguments
    with pytest.raises(psycopg.Error, match=message) as refused:
        scores(database_url, given.pop("scenes"), owner=alice, **given)
    assert refused.value.sqlstate == "PT400"
    assert refused.value.diag.message_hint

"""find_similar_scenes gives one owner's scenes nearest to a scene of the same owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import ALICE, BOB
from tests.postgres import Server, session
from tests.rows import (
    EAST,
    NORTH,
    SOUTH,
    UP,
    a_scene,
    a_space,
    a_video,
    an_embedding,
    an_owner,
    between,
    scenes_with,
)
from tests.searching import found

CALLERS = ["authenticated", "scenebook_api", "scenebook_worker"]
NEARLY_NORTH = between(NORTH, EAST, weight=0.1)


@pytest.fixture
def tx(database_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection that commits as it goes; both owners are there."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for owner in (ALICE, BOB):
            an_owner(connection, owner)
        yield connection


def similar(
    url: str,
    scene: UUID | None,
    *,
    owner: UUID = ALICE,
    role: str = "authenticated",
    **arguments: Any,
) -> list[dict[str, Any]]:
    """The rows for one caller, who asks as himself unless filter_user_id says otherwise."""
    named = {"match_threshold": -1.0, "filter_user_id": owner} | arguments
    passed = ", ".join(f"{name} => %({name})s" for name in named)
    with session(url, role=role, owner=owner) as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        return cursor.execute(
            f"select * from public.find_similar_scenes(to_scene_id => %(scene)s, {passed})",
            named | {"scene": scene},
        ).fetchall()


@pytest.mark.parametrize("role", CALLERS)
def test_the_most_similar_scene_comes_first_and_the_scene_itself_not_at_all(
    database_url: str, tx: psycopg.Connection, role: str
) -> None:
    scenes = scenes_with(tx, [NORTH, SOUTH, NEARLY_NORTH, NORTH], owner=ALICE, space=a_space(tx))
    rows = similar(database_url, scenes[0], role=role)
    assert found(rows) == [scenes[3], scenes[2], scenes[1]]
    assert [row["similarity"] for row in rows] == pytest.approx([1, 0.9939, -1], abs=1e-3)
    assert (rows[0]["scene_index"], rows[0]["start_ms"], rows[0]["end_ms"]) == (3, 3000, 4000)


def test_two_owners_find_their_own_scenes_and_learn_nothing_of_the_other(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    hers = scenes_with(tx, [NORTH, EAST], owner=ALICE, space=space)
    his = scenes_with(tx, [NORTH, EAST], owner=BOB, space=space)
    assert found(similar(database_url, hers[0])) == [hers[1]]
    assert found(similar(database_url, his[0], owner=BOB)) == [his[1]]
    for role in CALLERS:
        # His scene, her claims; his claims only in the argument; a scene that nobody has.
        assert similar(database_url, his[0], role=role) == []
        assert similar(database_url, his[0], filter_user_id=BOB, role=role) == []
        assert similar(database_url, hers[0], filter_user_id=BOB, role=role) == []
        assert similar(database_url, uuid4(), role=role) == []


def test_a_role_that_sees_all_rows_gets_one_owners(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    hers = scenes_with(tx, [NORTH, EAST], owner=ALICE, space=space)
    his = scenes_with(tx, [NORTH, EAST], owner=BOB, space=space)
    assert found(similar(database_url, hers[0], role="service_role")) == [hers[1]]
    assert similar(database_url, his[0], role="service_role") == []
    assert similar(database_url, hers[0], filter_user_id=BOB, role="service_role") == []


def test_of_several_vectors_on_both_sides_the_best_pair_counts(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    asked, near, far = scenes_with(tx, [EAST, SOUTH, UP], owner=ALICE, space=space)
    an_embedding(tx, NORTH, scene=asked, space=space, ordinal=1, at_ms=400)
    an_embedding(tx, NEARLY_NORTH, scene=near, space=space, ordinal=2, at_ms=1700)
    rows = similar(database_url, asked)
    assert found(rows) == [near, far]
    assert rows[0]["similarity"] == pytest.approx(0.9939, abs=1e-3)
    assert rows[0]["matched_ms"] == 1700
    assert rows[1]["similarity"] == pytest.approx(0, abs=1e-3)


def test_a_page_is_full_though_scenes_have_many_vectors(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    scenes = scenes_with(tx, [NORTH] * 7, owner=ALICE, space=space)
    for scene in scenes:
        for ordinal in (1, 2):
            an_embedding(tx, NORTH, scene=scene, space=space, ordinal=ordinal)
    pages = [
        found(similar(database_url, scenes[0], match_count=4, match_offset=offset))
        for offset in (0, 4)
    ]
    assert [len(page) for page in pages] == [4, 2]
    assert pages[0] + pages[1] == sorted(scenes[1:])


def test_the_search_can_keep_to_a_video_or_leave_the_scenes_own_out(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    here = scenes_with(tx, [NORTH, NORTH], owner=ALICE, space=space)
    there = scenes_with(tx, [NEARLY_NORTH], owner=ALICE, space=space)
    ((video,),) = tx.execute("select video_id from public.scenes where id = %s", (there[0],))
    assert found(similar(database_url, here[0])) == [here[1], there[0]]
    assert found(similar(database_url, here[0], other_videos_only=True)) == there
    assert found(similar(database_url, here[0], filter_video_id=video)) == there
    assert similar(database_url, there[0], filter_video_id=video, other_videos_only=True) == []


def test_only_what_readers_see_is_asked_and_found(
    database_url: str, tx: psycopg.Connection
) -> None:
    space = a_space(tx)
    video = a_video(tx, owner=ALICE, generation=2)
    old, seen = (a_scene(tx, owner=ALICE, video=video, generation=g) for g in (1, 2))
    going = a_scene(tx, owner=ALICE, video=a_video(tx, owner=ALICE, status="deleting"))
    (other,) = scenes_with(tx, [NORTH], owner=ALICE, space=space)
    for scene in (old, seen, going):
        an_embedding(tx, NORTH, scene=scene, space=space)
    assert found(similar(database_url, other)) == [seen]
    assert similar(database_url, old) == []
    assert similar(database_url, going) == []


def test_spaces_and_channels_are_never_mixed(database_url: str, tx: psycopg.Connection) -> None:
    active = a_space(tx)
    building = a_space(tx, status="building", model="sextant")
    words = a_space(tx, channel="transcript", dimensions=2)
    one, two, three = scenes_with(tx, [NORTH] * 3, owner=ALICE, space=active)
    for scene in (one, two):
        an_embedding(tx, NORTH, scene=scene, space=building)
    for scene in (one, three):
        an_embedding(tx, (1.0, 0.0), scene=scene, space=words)
    assert found(similar(database_url, one)) == sorted([two, three])
    assert found(similar(database_url, one, filter_space_id=building)) == [two]
    assert found(similar(database_url, one, channel="transcript")) == [three]
    assert similar(database_url, one, channel="summary") == []
    assert similar(database_url, two, channel="transcript") == []


def test_the_default_threshold_suits_picture_to_picture(
    database_url: str, tx: psycopg.Connection
) -> None:
    vectors = [NORTH, (0.71, 0.7042, 0.0, 0.0), (0.68, 0.7332, 0.0, 0.0)]
    north, near, _ = scenes_with(tx, vectors, owner=ALICE, space=a_space(tx))
    with session(database_url, role="authenticated", owner=ALICE) as connection:
        rows = connection.execute(
            "select scene_id from find_similar_scenes(%s, filter_user_id => %s)", (north, ALICE)
        ).fetchall()
    assert rows == [(near,)]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("null owner", {"filter_user_id": None}, "filter_user_id is required"),
    ("null scene", {"scene": None}, "to_scene_id is required"),
    ("null switch", {"other_videos_only": None}, "other_videos_only is required"),
    ("no threshold", {"match_threshold": None}, "match_threshold"),
    ("NaN threshold", {"match_threshold": float("nan")}, "match_threshold"),
    ("count 0", {"match_count": 0}, "match_count"),
    ("count 1001", {"match_count": 1001}, "match_count"),
    ("offset -1", {"match_offset": -1}, "match_offset"),
    ("unknown space", {"filter_space_id": 999}, "does not belong to the channel"),
]


@pytest.fixture(scope="module")
def one_scene(postgres_server: Server) -> Iterator[tuple[str, UUID]]:
    """A database for the refusals, which change nothing."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as connection:
            owner = an_owner(connection, ALICE)
            (scene,) = scenes_with(connection, [NORTH], owner=owner, space=a_space(connection))
        yield url, scene


@pytest.mark.parametrize(
    ("arguments", "message"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_unclear_arguments_are_refused_with_a_hint(
    one_scene: tuple[str, UUID], arguments: dict[str, Any], message: str
) -> None:
    url, scene = one_scene
    given = {"scene": scene} | arguments
    with pytest.raises(psycopg.Error, match=message) as refused:
        similar(url, given.pop("scene"), **given)
    assert refused.value.sqlstate == "PT400"
    assert refused.value.diag.message_hint

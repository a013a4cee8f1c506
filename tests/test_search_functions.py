"""The search functions find one owner's nearest scenes: all of them, in order, and only those."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from tests.postgres import session
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
    literal,
    scenes_with,
)
from tests.searching import found, rows_of, search

CHANNELS = ["visual_clip", "transcript", "visual", "summary"]
CALLERS = ["authenticated", "scenebook_api", "scenebook_worker"]


@pytest.fixture
def write(database_url: str) -> Callable[[], psycopg.Connection]:
    """A superuser's connection; leaving its block commits."""
    return lambda: psycopg.connect(database_url)


Write = Callable[[], psycopg.Connection]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("role", CALLERS)
def test_the_nearest_scene_comes_first(
    database_url: str, write: Write, alice: UUID, channel: str, role: str
) -> None:
    with write() as tx:
        space = a_space(tx, channel=channel)
        east, north, half = scenes_with(
            tx, [EAST, NORTH, between(NORTH, EAST)], owner=alice, space=space
        )
    rows = search(database_url, NORTH, owner=alice, channel=channel, role=role)
    assert found(rows) == [north, half, east]
    assert [row["similarity"] for row in rows] == pytest.approx([1, 0.7071, 0], abs=1e-3)
    assert (rows[0]["scene_index"], rows[0]["start_ms"], rows[0]["end_ms"]) == (1, 1000, 2000)


def test_the_references_own_call_works(database_url: str, write: Write, alice: UUID) -> None:
    with write() as tx:
        (north,) = scenes_with(tx, [NORTH], owner=alice, space=a_space(tx))
    with session(database_url, role="authenticated", owner=alice) as connection:
        rows = connection.execute(
            "select * from search_scenes_by_visual_clip_embedding("
            f" query_embedding := '{literal(NORTH)}'::vector, match_threshold := 0.5,"
            f" match_count := 10, filter_video_id := null, filter_user_id := '{alice}')"
        ).fetchall()
    assert [row[0] for row in rows] == [north]


def test_two_owners_find_their_own_scenes_only(
    database_url: str, write: Write, alice: UUID, bob: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        hers = scenes_with(tx, [NORTH, EAST], owner=alice, space=space)
        his = scenes_with(tx, [NORTH, EAST], owner=bob, space=space)
    assert found(search(database_url, owner=alice)) == hers
    assert found(search(database_url, owner=bob)) == his
    for role in CALLERS:
        assert search(database_url, owner=alice, asked=bob, role=role) == []


def test_a_small_owner_is_not_starved_by_a_giant(
    database_url: str, write: Write, alice: UUID, bob: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        crowd(tx, owner=bob, space=space, scenes=4000)
        scenes_with(tx, [between(SOUTH, UP, weight=0.1)] * 12, owner=alice, space=space)
        # A planner that may walk an index over all owners finds only the giant's scenes.
        tx.execute(
            "create index on public.scene_embeddings using hnsw"
            " ((embedding::public.halfvec(4)) public.halfvec_cosine_ops)"
        )
        tx.execute("analyze")
    # Twelve calls in one session: plans are cached after five, statements after ten.
    with session(database_url, role="authenticated", owner=alice) as connection:
        calls = [len(rows_of(connection, NORTH, owner=alice, match_count=10)) for _ in range(12)]
    assert calls == [10] * 12


def crowd(tx: psycopg.Connection, *, owner: UUID, space: int, scenes: int) -> None:
    """Many scenes of one owner, all close to NORTH."""
    video = a_video(tx, owner=owner)
    tx.execute(
        "insert into public.scenes"
        " (owner_id, video_id, generation, scene_index, start_ms, end_ms, lease_token)"
        " select %s, %s, 1, i, i, i + 1, 1 from generate_series(0, %s - 1) as i",
        (owner, video, scenes),
    )
    tx.execute(
        "insert into public.scene_embeddings"
        " (space_id, owner_id, video_id, scene_id, generation, embedding)"
        " select %s, owner_id, video_id, id, 1, public.l2_normalize("
        "  array[1, 0.1 * sin(scene_index), 0.1 * cos(scene_index), 0.05]::real[]::public.halfvec)"
        " from public.scenes where owner_id = %s",
        (space, owner),
    )


def test_equal_scenes_come_in_the_order_of_their_ids(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        scenes = scenes_with(tx, [NORTH] * 9, owner=alice, space=a_space(tx))
    assert found(search(database_url, owner=alice)) == sorted(scenes)


def test_pages_neither_repeat_nor_lose_a_scene(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        scenes = scenes_with(tx, [NORTH] * 5 + [EAST] * 5, owner=alice, space=a_space(tx))
    pages = [
        found(search(database_url, owner=alice, match_count=3, match_offset=offset))
        for offset in range(0, 12, 3)
    ]
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [scene for page in pages for scene in page] == sorted(scenes[:5]) + sorted(scenes[5:])


def test_a_scene_exactly_at_the_threshold_is_found(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        _, east, _ = scenes_with(tx, [SOUTH, EAST, NORTH], owner=alice, space=a_space(tx))
    rows = search(database_url, owner=alice, match_threshold=0.0)
    assert found(rows)[-1] == east
    assert len(rows) == 2
    assert len(search(database_url, owner=alice, match_threshold=0.001)) == 1
    assert len(search(database_url, owner=alice, match_threshold=-1.0)) == 3


def test_the_default_threshold_suits_text_to_picture(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        near, _ = scenes_with(
            tx, [(0.25, 0.9682, 0, 0), (0.15, 0.9887, 0, 0)], owner=alice, space=space
        )
    with session(database_url, role="authenticated", owner=alice) as connection:
        rows = connection.execute(
            "select scene_id from public.search_scenes_by_visual_clip_embedding("
            f"'{literal(NORTH)}', filter_user_id => '{alice}')"
        ).fetchall()
    assert rows == [(near,)]


def test_the_best_of_several_vectors_counts_and_says_when(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        one, two = scenes_with(tx, [EAST, between(NORTH, EAST)], owner=alice, space=space)
        an_embedding(tx, NORTH, scene=one, space=space, ordinal=1, at_ms=700)
        an_embedding(tx, UP, scene=one, space=space, ordinal=2, at_ms=900)
    rows = search(database_url, owner=alice)
    assert found(rows) == [one, two]
    assert [row["matched_ms"] for row in rows] == [700, None]


def test_a_video_filter_keeps_to_that_video(
    database_url: str, write: Write, alice: UUID, bob: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        (mine,) = scenes_with(tx, [NORTH], owner=alice, space=space)
        scenes_with(tx, [NORTH], owner=alice, space=space)
        (his,) = scenes_with(tx, [NORTH], owner=bob, space=space)
        rows = tx.execute("select id, video_id from public.scenes").fetchall()
        videos: dict[UUID, UUID] = {scene: video for scene, video in rows}
    assert found(search(database_url, owner=alice, filter_video_id=videos[mine])) == [mine]
    assert search(database_url, owner=alice, filter_video_id=videos[his]) == []


def test_only_the_generation_that_readers_see_is_found(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        video = a_video(tx, owner=alice, generation=2)
        scenes = [a_scene(tx, owner=alice, video=video, generation=g) for g in (1, 2, 3)]
        for scene in scenes:
            an_embedding(tx, NORTH, scene=scene, space=space)
    assert found(search(database_url, owner=alice)) == [scenes[1]]


def test_a_video_that_is_being_deleted_is_not_found(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        space = a_space(tx)
        scenes_with(tx, [NORTH], owner=alice, space=space)
        tx.execute("update public.videos set status = 'deleting'")
    assert search(database_url, owner=alice) == []


def test_spaces_are_never_mixed(database_url: str, write: Write, alice: UUID) -> None:
    with write() as tx:
        active = a_space(tx)
        next_one = a_space(tx, status="building", model="sextant")
        other = a_space(tx, channel="transcript")
        (scene,) = scenes_with(tx, [NORTH], owner=alice, space=active)
        (later,) = scenes_with(tx, [NORTH], owner=alice, space=next_one)
        scenes_with(tx, [NORTH], owner=alice, space=other)
    assert found(search(database_url, owner=alice)) == [scene]
    assert found(search(database_url, owner=alice, filter_space_id=next_one)) == [later]


def test_a_channel_that_nothing_was_embedded_in_finds_nothing(
    database_url: str, alice: UUID
) -> None:
    assert search(database_url, owner=alice) == []


def test_a_query_of_any_length_is_normalised(database_url: str, write: Write, alice: UUID) -> None:
    with write() as tx:
        (north,) = scenes_with(tx, [NORTH], owner=alice, space=a_space(tx))
    for length in (1e-9, 1e9):
        rows = search(database_url, (length, 0, 0, 0), owner=alice, match_threshold=0.99)
        assert found(rows) == [north]


def test_the_view_gives_the_columns_that_the_reference_names(
    database_url: str, write: Write, alice: UUID
) -> None:
    with write() as tx:
        first = a_space(tx)
        words = a_space(tx, channel="transcript")
        (scene,) = scenes_with(tx, [NORTH], owner=alice, space=first)
        an_embedding(tx, EAST, scene=scene, space=first, ordinal=1)
        an_embedding(tx, UP, scene=scene, space=words)
        an_owner(tx)
    with session(database_url, role="authenticated", owner=alice) as connection:
        row = connection.execute(
            "select embedding_visual_clip::text, embedding_transcript::text, embedding_visual,"
            " embedding_summary, visual_clip_metadata from public.scene_sidecars"
        ).fetchall()
    assert row == [("[1,0,0,0]", "[0,0,1,0]", None, None, None)]

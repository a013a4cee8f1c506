"""Fusion in SQL: weights, ties, pages and filters of search_scenes_hybrid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

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
    literal,
)

# What each scene of Alice's video says, and how near it is to NORTH in visual_clip and transcript.
SCENES: list[tuple[str | None, tuple[float, ...] | None, tuple[float, ...] | None]] = [
    ("a red boat on the water", NORTH, EAST),
    ("somebody sings", between(NORTH, EAST, weight=0.2), NORTH),
    ("the boat again", between(NORTH, EAST, weight=0.4), between(NORTH, EAST, weight=0.3)),
    (None, between(NORTH, UP, weight=0.3), None),
    ("good night", None, UP),
]


@pytest.fixture(scope="module")
def library(postgres_server: Server) -> Iterator[tuple[str, list[UUID], UUID]]:
    """One database for all tests here: its URL, Alice's scenes in order, and Bob's one scene."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as tx:
            clip = a_space(tx)
            said = a_space(tx, channel="transcript", model="words")
            made = []
            video = a_video(tx, owner=an_owner(tx, ALICE))
            for index, (text, seen, spoken) in enumerate(SCENES):
                scene = a_scene(tx, owner=ALICE, video=video, index=index, transcript=text)
                for space, vector in ((clip, seen), (said, spoken)):
                    if vector is not None:
                        an_embedding(tx, vector, scene=scene, space=space, at_ms=index * 1000 + 7)
                made.append(scene)
            bobs = a_video(tx, owner=an_owner(tx, BOB))
            his = a_scene(tx, owner=BOB, video=bobs, transcript="a red boat")
            for space in (clip, said):
                an_embedding(tx, NORTH, scene=his, space=space)
        yield url, made, his


@pytest.fixture
def database_url(library: tuple[str, list[UUID], UUID]) -> str:
    return library[0]


@pytest.fixture
def scenes(library: tuple[str, list[UUID], UUID]) -> list[UUID]:
    return library[1]


def hybrid(
    url: str, *, owner: UUID = ALICE, role: str = "authenticated", **arguments: Any
) -> list[dict[str, Any]]:
    """The rows for one caller, with arguments by name; vectors as directions."""
    given = {"filter_user_id": owner} | arguments
    for name, value in given.items():
        if name.endswith("_embedding") and value is not None:
            given[name] = literal(value)
    with session(url, role=role, owner=owner) as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        kinds = {"weights": "::jsonb", "thresholds": "::jsonb", "filter_space_ids": "::jsonb"}
        passed = ", ".join(
            f"{name} => %({name})s"
            + ("::public.vector" if name.endswith("_embedding") else kinds.get(name, ""))
            for name in given
        )
        cursor.execute(f"select * from public.search_scenes_hybrid({passed})", given)
        return cursor.fetchall()


def ids(rows: list[dict[str, Any]]) -> list[UUID]:
    return [row["scene_id"] for row in rows]


BOTH = {"query_visual_clip_embedding": NORTH, "query_transcript_embedding": NORTH}


def test_the_score_is_the_weighted_sum_of_reciprocal_ranks(
    database_url: str, scenes: list[UUID]
) -> None:
    rows = hybrid(database_url, **BOTH, thresholds='{"visual_clip": 0.1, "transcript": 0.1}')
    scores = {row["scene_id"]: row["score"] for row in rows}
    assert scores[scenes[0]] == pytest.approx(0.5 / 61)
    assert scores[scenes[1]] == pytest.approx(0.5 / 62 + 0.5 / 61)
    assert ids(rows)[0] == scenes[1]
    reasons = {row["scene_id"]: row["matches"] for row in rows}[scenes[1]]
    assert [(one["channel"], one["rank"]) for one in reasons] == [
        ("transcript", 1),
        ("visual_clip", 2),
    ]
    assert all(-1 <= one["similarity"] <= 1 for one in reasons)


def test_the_weights_decide_and_only_their_ratio_counts(
    database_url: str, scenes: list[UUID]
) -> None:
    seen = hybrid(database_url, **BOTH, weights='{"visual_clip": 9, "transcript": 1}')
    said = hybrid(database_url, **BOTH, weights='{"visual_clip": 1, "transcript": 9}')
    assert ids(seen)[0] in (scenes[0], scenes[1])
    assert ids(said)[0] == scenes[1]
    assert ids(seen) != ids(said)
    scaled = hybrid(database_url, **BOTH, weights='{"visual_clip": 900, "transcript": 100}')
    assert scaled == seen
    # The smallest number there is, and one beside which it is nothing.
    tiny = hybrid(database_url, **BOTH, weights='{"visual_clip": 5e-324, "transcript": 1000000}')
    assert ids(tiny)[0] == scenes[1]


def test_a_channel_without_a_part_of_the_query_gives_its_weight_to_the_others(
    database_url: str,
) -> None:
    alone = hybrid(database_url, query_visual_clip_embedding=NORTH)
    weighed = hybrid(
        database_url,
        query_visual_clip_embedding=NORTH,
        weights='{"visual_clip": 0.3, "transcript": 0.7}',
    )
    assert weighed == alone
    assert alone[0]["score"] == pytest.approx(1 / 61)


def test_one_lonely_match_is_found_whatever_the_other_channels_say(
    database_url: str, scenes: list[UUID]
) -> None:
    rows = hybrid(
        database_url,
        query_text="sings",
        query_visual_clip_embedding=SOUTH,
        thresholds='{"visual_clip": 0.9}',
    )
    assert ids(rows) == [scenes[1]]
    (reason,) = rows[0]["matches"]
    assert reason["channel"] == "lexical"
    assert 0 < reason["text_rank"] <= 1
    assert "similarity" not in reason


def test_ties_are_broken_by_the_scene_and_pages_follow_each_other(
    database_url: str, scenes: list[UUID]
) -> None:
    asked: dict[str, Any] = BOTH | {"query_text": "boat"}
    whole = hybrid(database_url, **asked)
    order = [(-row["score"], row["scene_id"]) for row in whole]
    assert order == sorted(order)
    paged: list[dict[str, Any]] = []
    while page := hybrid(
        database_url,
        **asked,
        match_count=2,
        after_score=paged[-1]["score"] if paged else None,
        after_scene_id=paged[-1]["scene_id"] if paged else None,
    ):
        paged += page
    assert paged == whole
    assert set(ids(whole)) == set(scenes)


def test_what_comes_later_does_not_move_the_next_pages(postgres_server: Server) -> None:
    with postgres_server.database() as url:
        with psycopg.connect(url) as tx:
            space, owner = a_space(tx), an_owner(tx, ALICE)
            video = a_video(tx, owner=owner)
            for index in range(6):
                scene = a_scene(tx, owner=owner, video=video, index=index, transcript="boat")
                an_embedding(tx, between(NORTH, EAST, weight=index / 9), scene=scene, space=space)
        with psycopg.connect(url) as tx:
            row = tx.execute("select now()").fetchone()
        assert row is not None
        asked = {"query_text": "boat", "query_visual_clip_embedding": NORTH, "as_of": row[0]}
        whole = hybrid(url, **asked)
        first = hybrid(url, **asked, match_count=3)
        with psycopg.connect(url) as tx:
            later = a_video(tx, owner=owner)
            for index in range(4):
                scene = a_scene(tx, owner=owner, video=later, index=index, transcript="boat boat")
                an_embedding(tx, NORTH, scene=scene, space=space)
        rest = hybrid(
            url, **asked, after_score=first[-1]["score"], after_scene_id=first[-1]["scene_id"]
        )
        assert first + rest == whole
        assert len(hybrid(url, **(asked | {"as_of": None}))) == 10


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"filter_from_ms": 2000}, [2, 3, 4]),
        ({"filter_to_ms": 2000}, [0, 1]),
        ({"filter_from_ms": 1500, "filter_to_ms": 2500}, [1, 2]),
        ({"filter_has_speech": False}, [3]),
        ({"filter_has_speech": True}, [0, 1, 2, 4]),
        ({"filter_min_duration_ms": 1001}, []),
        ({"filter_max_duration_ms": 1000}, [0, 1, 2, 3, 4]),
        ({"filter_tags": ["sea"]}, []),
        ({"filter_video_ids": []}, []),
    ],
)
def test_filters_narrow_the_search_before_anything_is_ranked(
    database_url: str, scenes: list[UUID], filters: dict[str, Any], expected: list[int]
) -> None:
    rows = hybrid(database_url, **BOTH, **filters, candidates=5)
    assert set(ids(rows)) == {scenes[place] for place in expected}


def test_nobody_finds_another_owners_scenes(
    database_url: str, library: tuple[str, list[UUID], UUID]
) -> None:
    asked: dict[str, Any] = BOTH | {"query_text": "boat"}
    assert ids(hybrid(database_url, **asked, owner=BOB)) == [library[2]]
    assert hybrid(database_url, **(asked | {"filter_user_id": ALICE}), owner=BOB) == []
    filtered = asked | {"filter_user_id": ALICE, "filter_to_ms": 10_000}
    assert hybrid(database_url, **filtered, owner=BOB) == []


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"filter_user_id": None}, "filter_user_id is required"),
    ({"query_visual_clip_embedding": None, "query_transcript_embedding": None}, "query is empty"),
    ({"weights": "[]"}, "must be objects"),
    ({"weights": "null"}, "must be objects"),
    ({"weights": '{"lexial": 1}'}, "must be numbers by channel"),
    ({"weights": '{"visual_clip": "1"}'}, "must be numbers by channel"),
    ({"weights": '{"visual_clip": -1}'}, "between 0 and 1000000"),
    ({"weights": '{"visual_clip": 1e400}'}, "between 0 and 1000000"),
    ({"weights": '{"visual_clip": 0, "transcript": 0}'}, "the weight 0"),
    ({"match_count": 0}, "match_count"),
    ({"match_count": None}, "match_count"),
    ({"candidates": 1001}, "candidates"),
    ({"after_score": 0.1}, "belong together"),
    ({"query_visual_clip_embedding": (1.0, 0.0)}, "has 2 dimensions"),
    ({"query_visual_clip_embedding": (0.0, 0.0, 0.0, 0.0)}, "zero vector"),
    ({"thresholds": '{"visual_clip": true}'}, "must be numbers by channel"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_what_cannot_be_meant_is_refused_with_a_hint(
    database_url: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(psycopg.Error, match=message) as refused:
        hybrid(database_url, **(BOTH | arguments))
    assert refused.value.sqlstate == "PT400"
    assert refused.value.diag.message_hint

"""Typed functions for search_scenes_hybrid and for what turns its rows into hits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from scenebook.db.engine import statement
from scenebook.db.values import vector_literal
from scenebook.model import Channel, SearchChannel

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which scenes may be found; what is None does not narrow the search.

    tags: a scene has all of them. from_ms, to_ms: it overlaps this part of its video. The durations
    are of the scene, in milliseconds.
    """

    video_ids: tuple[UUID, ...] | None = None
    tags: tuple[str, ...] | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None
    has_speech: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A query's part for one vector channel: norm 1, its space, the least similarity of a match."""

    vector: Vector
    space_id: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a scene is a hit: its 1-based rank in one channel, and how well it matched there.

    similarity is a cosine, of vector channels; text_rank, 0 to 1, is of the lexical channel. They
    do not compare. matched_ms is the time of the keyframe or utterance that matched, where it is
    known.
    """

    channel: SearchChannel
    rank: int
    similarity: float | None = None
    text_rank: float | None = None
    matched_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FusedMatch:
    """A scene with its fused score, comparable in one answer only, and the reasons for it."""

    scene_id: UUID
    video_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    score: float
    matched_ms: int | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Fused:
    """Fused matches, best first; the time of each channel; whether every channel was exact.

    as_of is the time that the search is of: what came later is left out.
    """

    matches: tuple[FusedMatch, ...]
    timing_ms: Mapping[SearchChannel, float]
    exact: bool
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """What a hit shows of a scene."""

    title: str
    transcript: str | None
    description: str | None
    summary: str | None
    tags: tuple[str, ...]
    keyframe_id: UUID | None


def search_hybrid(
    tx: Connection,
    *,
    owner_id: UUID,
    text: str | None,
    asked: Mapping[Channel, Asked],
    weights: Mapping[SearchChannel, float],
    limit: int,
    candidates: int,
    filters: Filters,
    video_id: UUID | None = None,
    except_scene_id: UUID | None = None,
    after: tuple[float, UUID] | None = None,
    as_of: datetime | None = None,
    within_s: float | None = None,
) -> Fused:
    """The owner's scenes fused over the channels; text is what the lexical channel is asked.

    within_s: the transaction is ended by Unavailable(code=TOOK_TOO_LONG) if it takes longer.
    """
    if within_s is not None:
        tx.execute(statement("search/within"), {"limit": f"{int(within_s * 1000)}ms"})
    after_score, after_scene_id = after or (None, None)
    parameters: dict[str, Any] = {channel.value: None for channel in Channel}
    parameters |= {channel.value: vector_literal(one.vector) for channel, one in asked.items()}
    rows = tx.execute(
        statement("search/hybrid"),
        parameters
        | {
            "text": text,
            "weights": json.dumps(dict(weights)),
            "thresholds": json.dumps({channel: one.threshold for channel, one in asked.items()}),
            "space_ids": json.dumps({channel: one.space_id for channel, one in asked.items()}),
            "limit": limit,
            "candidates": candidates,
            "video_id": video_id,
            "owner_id": owner_id,
            "video_ids": None if filters.video_ids is None else list(filters.video_ids),
            "tags": None if filters.tags is None else list(filters.tags),
            "from_ms": filters.from_ms,
            "to_ms": filters.to_ms,
            "min_duration_ms": filters.min_duration_ms,
            "max_duration_ms": filters.max_duration_ms,
            "has_speech": filters.has_speech,
            "except_scene_id": except_scene_id,
            "after_score": after_score,
            "after_scene_id": after_scene_id,
            "as_of": as_of,
        },
    ).all()
    report = tx.execute(statement("search/hybrid_report")).one()
    timing_ms = {SearchChannel(name): float(ms) for name, ms in report.timing_ms.items()}
    matches = tuple(_match(row) for row in rows)
    return Fused(matches, timing_ms, report.exact, as_of or report.as_of)


def nothing(tx: Connection) -> Fused:
    """What a search finds that no channel can answer."""
    return Fused((), {}, True, tx.execute(statement("search/now")).scalar_one())


def _match(row: Row[Any]) -> FusedMatch:
    reasons = tuple(
        Reason(**(one | {"channel": SearchChannel(one["channel"])})) for one in row.matches
    )
    return FusedMatch(
        scene_id=row.scene_id,
        video_id=row.video_id,
        scene_index=row.scene_index,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        score=row.score,
        matched_ms=row.matched_ms,
        reasons=reasons,
    )


def shown(tx: Connection, *, owner_id: UUID, matches: Sequence[FusedMatch]) -> dict[UUID, Shown]:
    """What the owner's scenes show, without those that were removed since they were found."""
    rows = tx.execute(
        statement("search/hits"),
        {
            "owner_id": owner_id,
            "ids": [one.scene_id for one in matches],
            "times": [one.matched_ms for one in matches],
        },
    )
    return {
        row.id: Shown(
            title=row.title,
            transcript=row.transcript,
            description=row.description,
            summary=row.summary,
            tags=tuple(row.tags),
            keyframe_id=row.keyframe_id,
        )
        for row in rows
    }


def is_shown(tx: Connection, *, owner_id: UUID, scene_id: UUID) -> bool:
    """Whether the owner sees this scene."""
    row = tx.execute(
        statement("search/hits"), {"owner_id": owner_id, "ids": [scene_id], "times": [None]}
    )
    return row.first() is not None


def scene_vectors(
    tx: Connection, *, owner_id: UUID, scene_id: UUID, space_ids: Sequence[int]
) -> dict[int, Vector]:
    """The first vector of one of the owner's scenes by space; spaces without one are left out."""
    rows = tx.execute(
        statement("search/scene_vectors"),
        {"owner_id": owner_id, "scene_id": scene_id, "space_ids": list(space_ids)},
    )
    return {row.space_id: np.array(json.loads(row.embedding), dtype=np.float32) for row in rows}

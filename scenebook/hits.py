"""Hits: matches of several channels fused into one answer, with the reasons for each scene."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import scenes, videos
from scenebook.model import Channel, Match

# Rank constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
RRF_K = 60


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a scene is a hit: its 1-based rank and its cosine similarity in one channel.

    matched_ms is the time of the keyframe or utterance whose vector was nearest, where it is known.
    """

    channel: Channel
    rank: int
    similarity: float
    matched_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A scene as an answer to a query; `score` is the fused number, comparable in one answer."""

    scene_id: UUID
    video_id: UUID
    title: str
    scene_index: int
    start_ms: int
    end_ms: int
    score: float
    reasons: tuple[Reason, ...]
    transcript: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The hits, and every channel that was asked for and could not answer, with the reason."""

    hits: tuple[Hit, ...]
    degraded: Mapping[Channel, str]


Fused = tuple[Match, float, tuple[Reason, ...]]


def fuse(
    matches: Mapping[Channel, Sequence[Match]], weights: Mapping[Channel, float] | None = None
) -> list[Fused]:
    """Weighted reciprocal rank fusion; ties are broken by similarity, then by scene id."""
    scores: dict[UUID, float] = defaultdict(float)
    reasons: dict[UUID, list[Reason]] = defaultdict(list)
    one_match: dict[UUID, Match] = {}
    for channel, found in matches.items():
        for rank, match in enumerate(found, start=1):
            weight = 1.0 if weights is None else weights.get(channel, 0.0)
            scores[match.scene_id] += weight / (RRF_K + rank)
            reasons[match.scene_id].append(
                Reason(channel, rank, match.similarity, match.matched_ms)
            )
            one_match.setdefault(match.scene_id, match)
    order = sorted(
        scores,
        key=lambda id: (-scores[id], -max(r.similarity for r in reasons[id]), id),
    )
    return [(one_match[id], scores[id], tuple(reasons[id])) for id in order]


def hits_of(tx: Connection, fused: Sequence[Fused], *, owner_id: UUID) -> tuple[Hit, ...]:
    """The owner's matches as hits, without those that were removed since they were found."""
    found = scenes.by_ids(tx, owner_id=owner_id, ids=[match.scene_id for match, _, _ in fused])
    titles = videos.titles(
        tx, owner_id=owner_id, video_ids=list({match.video_id for match, _, _ in fused})
    )
    return tuple(
        Hit(
            scene_id=match.scene_id,
            video_id=match.video_id,
            title=titles[match.video_id],
            scene_index=match.scene_index,
            start_ms=match.start_ms,
            end_ms=match.end_ms,
            score=score,
            reasons=reasons,
            transcript=found[match.scene_id].transcript,
            description=found[match.scene_id].description,
        )
        for match, score, reasons in fused
        if match.scene_id in found and match.video_id in titles
    )

"""Hits: fused matches as answers that a person can read, with the reasons for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import hybrid, words
from scenebook.db.hybrid import FusedMatch, Reason, Shown
from scenebook.db.words import Highlight
from scenebook.model import SearchChannel
from scenebook.moments import Group
from scenebook.queries import Position

# Rank constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
RRF_K = 60

__all__ = ["RRF_K", "Hit", "Reason", "SearchAnswer", "hits_of"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A scene as an answer to a query; `score` is the fused number, comparable in one answer.

    Of a moment or a video, the scene is its best; `parts` are the other scenes in it. highlights
    are places (start, end) in the transcript where words of the query stand. relevance is what a
    cross-encoder said of the text, where one was asked.
    """

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
    summary: str | None = None
    tags: tuple[str, ...] = ()
    matched_ms: int | None = None
    keyframe_id: UUID | None = None
    highlights: tuple[tuple[int, int], ...] = ()
    parts: tuple[FusedMatch, ...] = ()
    relevance: float | None = None

    @property
    def text(self) -> str:
        """All that is said and written about the scene."""
        return "\n".join(one for one in (self.transcript, self.description, self.summary) if one)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The hits, and everything that was asked for and could not take part, with the reason.

    timing_ms: by channel (and `rerank`), the time to encode the query and the time to search.
    exact: whether no channel was searched approximately. next: where the next page begins, if there
    is one. corrections: words that the owner's videos lack, and what was looked for as well.
    """

    hits: tuple[Hit, ...]
    degraded: Mapping[str, str]
    timing_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    exact: bool = True
    next: Position | None = None
    corrections: Mapping[str, Sequence[str]] = field(default_factory=dict)


def hits_of(
    tx: Connection,
    found: Sequence[FusedMatch] | Sequence[Group],
    *,
    owner_id: UUID,
    text: str | None = None,
    relevance: Mapping[UUID, float] | None = None,
) -> tuple[Hit, ...]:
    """The owner's matches as hits, without those that were removed since they were found.

    text: words to highlight in the transcripts.
    """
    groups = [one if isinstance(one, Group) else Group(one) for one in found]
    bests = [group.best for group in groups]
    shown = hybrid.shown(tx, owner_id=owner_id, matches=bests)
    worded = [one.scene_id for one in bests if _matched_words(one)]
    marked: Mapping[UUID, Highlight] = {}
    if text is not None and worded:
        marked = words.highlights(tx, owner_id=owner_id, scene_ids=worded, text=text)
    return tuple(
        _hit(group, shown[scene_id], marked.get(scene_id), (relevance or {}).get(scene_id))
        for group in groups
        if (scene_id := group.best.scene_id) in shown
    )


def _hit(group: Group, shown: Shown, marked: Highlight | None, relevance: float | None) -> Hit:
    best = group.best
    return Hit(
        scene_id=best.scene_id,
        video_id=best.video_id,
        title=shown.title,
        scene_index=best.scene_index,
        start_ms=group.start_ms,
        end_ms=group.end_ms,
        score=best.score,
        reasons=best.reasons,
        transcript=shown.transcript if marked is None else marked.text,
        description=shown.description,
        summary=shown.summary,
        tags=shown.tags,
        matched_ms=best.matched_ms,
        keyframe_id=shown.keyframe_id,
        highlights=marked.ranges if marked is not None else (),
        parts=group.others,
        relevance=relevance,
    )


def _matched_words(match: FusedMatch) -> bool:
    return any(reason.channel is SearchChannel.LEXICAL for reason in match.reasons)

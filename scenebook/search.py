"""Search: each channel that applies is asked, the matches are fused, a page of hits is shown."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import structlog
from sqlalchemy import Connection

from scenebook.asking import QueryEncoder, Thresholds, Vector, encoded, thresholds_of
from scenebook.coverage import unseen
from scenebook.db import hybrid, spaces, words
from scenebook.db.engine import TOOK_TOO_LONG, Database
from scenebook.db.hybrid import Asked, Filters, Fused
from scenebook.db.spaces import StoredSpace
from scenebook.errors import InvalidQuery, NotFound, ScenebookError, Unavailable
from scenebook.hits import Hit, Reason, SearchAnswer, hits_of
from scenebook.model import Channel, SearchChannel
from scenebook.moments import grouped, page_of
from scenebook.queries import MAX_LIMIT, Grouping, Position, Query, checked
from scenebook.reranking import Reranker, rerank
from scenebook.wanted import Wanted

__all__ = [
    "Filters",
    "Grouping",
    "Hit",
    "Position",
    "Query",
    "QueryEncoder",
    "Reason",
    "SearchAnswer",
    "Thresholds",
    "search",
    "thresholds_of",
]

log = structlog.get_logger(__name__)

# Matches of each channel that take part in the fusion.
CANDIDATES = 200
# Another space may become the active one while a query is encoded; a third time is no accident.
TRIES = 3
SLOW_WORDS = "Looking for the words took too long. Narrow the search, or ask it again."
MOVED = "Its space was changed while it was asked. Search again."


@dataclass(slots=True)
class _Findings:
    """What a search has found out so far."""

    asked: dict[int, Asked] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)
    timing_ms: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))


def search(
    db: Database,
    encoder: QueryEncoder,
    *,
    owner_id: UUID,
    query: Query,
    channels: Sequence[SearchChannel | Channel],
    limit: int = 10,
    video_id: UUID | None = None,
    threshold: float | None = None,
    weights: Mapping[SearchChannel, float] | Mapping[Channel, float] | None = None,
    filters: Filters | None = None,
    grouping: Grouping | None = None,
    after: Position | None = None,
    reranker: Reranker | None = None,
    rerank_candidates: int = 50,
    explain: Callable[[ScenebookError], str] = str,
) -> SearchAnswer:
    """The owner's scenes that answer a query, best first, in the active space of each channel.

    A picture, and a scene's own vector, is compared in visual_clip; the other channels use the text
    alone. What cannot answer is named in `degraded`; the rest still does. threshold: least cosine
    similarity in every vector channel; None: what suits the space and the kind of query. weights:
    of the channels in the fusion, 0 for those not named; None: all alike. after: the `next` of the
    page before, with the same query. explain: what `degraded` says of an error. Raises
    InvalidQuery, and NotFound for a scene that is not there.
    """
    asked = tuple(dict.fromkeys(SearchChannel(one) for one in channels))
    named = {SearchChannel(name): one for name, one in (weights or {}).items()}
    wanted = Wanted(
        owner_id=owner_id,
        query=checked(query, asked, limit=limit, threshold=threshold),
        channels=asked,
        weights={one: 1.0 if weights is None else named.get(one, 0.0) for one in asked},
        limit=limit,
        filters=filters or Filters(),
        video_id=video_id,
        threshold=threshold,
        grouping=grouping or Grouping(),
        after=after,
        reranker=reranker,
        explain=explain,
    )
    if not any(wanted.weights.values()):
        raise InvalidQuery("Every channel that is asked has the weight 0. Give one a larger one.")
    return _searched(db, encoder, wanted, rerank_candidates)


def _searched(
    db: Database, encoder: QueryEncoder, wanted: Wanted, rerank_candidates: int
) -> SearchAnswer:
    """The answer: tried again where a space changes meanwhile, and without words that take long."""
    findings = _Findings()
    for _ in range(TRIES):
        try:
            answer = _tried(db, encoder, wanted, findings, rerank_candidates)
        except Unavailable as error:
            if error.code != TOOK_TOO_LONG or wanted.words_within_s is None:
                raise
            findings.degraded[SearchChannel.LEXICAL] = SLOW_WORDS
            wanted = wanted.without_words()
            continue
        if answer is not None:
            return answer
    return SearchAnswer((), dict.fromkeys(wanted.channels, MOVED))


def _tried(
    db: Database,
    encoder: QueryEncoder,
    wanted: Wanted,
    findings: _Findings,
    rerank_candidates: int,
) -> SearchAnswer | None:
    """Ask, fuse, re-rank where that is wanted, and show; None if a space changed meanwhile."""
    owner_id, reranker = wanted.owner_id, wanted.reranker
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        known = spaces.all_spaces(tx)
        active = _active(known, wanted)
        of_scene = _scene_vectors(tx, wanted, active)
    _encode(encoder, wanted, active, of_scene, findings)
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        if _active(spaces.all_spaces(tx), wanted) != active:
            return None
        fused = _fused(tx, wanted, active, findings)
        missing = unseen(tx, wanted.vector_channels, known, owner_id=owner_id)
        findings.degraded = missing | findings.degraded
        if reranker is None:
            return _answer(tx, wanted, fused, findings)
        read = hits_of(tx, fused.matches[:rerank_candidates], owner_id=owner_id)
    fused, relevance = _reranked(reranker, wanted, fused, read, findings)
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        return _answer(tx, wanted, fused, findings, relevance)


def _active(known: Sequence[StoredSpace], wanted: Wanted) -> dict[Channel, StoredSpace]:
    """The active spaces of the channels that are asked."""
    return {
        one.space.channel: one
        for one in known
        if one.is_active and one.space.channel in wanted.vector_channels
    }


def _scene_vectors(
    tx: Connection, wanted: Wanted, active: Mapping[Channel, StoredSpace]
) -> dict[int, Vector]:
    """The first vector by space of the scene that is asked for, if one is."""
    scene_id = wanted.query.scene_id
    if scene_id is None:
        return {}
    if not hybrid.is_shown(tx, owner_id=wanted.owner_id, scene_id=scene_id):
        raise NotFound(f"There is no scene {scene_id}.")
    ids = [one.id for one in active.values()]
    return hybrid.scene_vectors(tx, owner_id=wanted.owner_id, scene_id=scene_id, space_ids=ids)


def _encode(
    encoder: QueryEncoder,
    wanted: Wanted,
    active: Mapping[Channel, StoredSpace],
    of_scene: Mapping[int, Vector],
    findings: _Findings,
) -> None:
    """Encode the query in each space that it is not yet encoded in."""
    for channel, stored in active.items():
        if stored.id in findings.asked or channel in findings.degraded:
            continue
        began = time.perf_counter()
        try:
            findings.asked[stored.id] = encoded(
                encoder,
                stored,
                wanted.query,
                of_scene=of_scene.get(stored.id),
                threshold=wanted.threshold,
            )
        except InvalidQuery:
            raise
        except ScenebookError as error:
            findings.degraded[channel] = wanted.explain(error)
            log.warning("search_degraded", channel=channel, code=error.code, error=str(error))
        findings.timing_ms[channel]["encode"] = _ms_since(began)


def _fused(
    tx: Connection,
    wanted: Wanted,
    active: Mapping[Channel, StoredSpace],
    findings: _Findings,
) -> Fused:
    """One page of the fused order, and one match more; or all of it, where pages need all."""
    asked = {
        channel: findings.asked[stored.id]
        for channel, stored in active.items()
        if stored.id in findings.asked
    }
    counting = {channel: wanted.weights[SearchChannel(channel)] for channel in asked}
    text = wanted.text
    if not any(counting.values()) and (text is None or not wanted.weights[SearchChannel.LEXICAL]):
        return hybrid.nothing(tx)
    whole, after = wanted.whole, wanted.after
    fused = hybrid.search_hybrid(
        tx,
        owner_id=wanted.owner_id,
        text=text,
        asked=asked,
        weights=wanted.weights,
        limit=MAX_LIMIT if whole else min(wanted.limit + 1, MAX_LIMIT),
        candidates=max(CANDIDATES, wanted.limit),
        filters=wanted.filters,
        video_id=wanted.video_id,
        except_scene_id=wanted.query.scene_id,
        after=None if after is None or whole else (after.score, after.scene_id),
        as_of=None if after is None else after.as_of,
        within_s=wanted.words_within_s,
    )
    for name, ms in fused.timing_ms.items():
        findings.timing_ms[name]["search"] = ms
    return fused


def _reranked(
    reranker: Reranker,
    wanted: Wanted,
    fused: Fused,
    read: Sequence[Hit],
    findings: _Findings,
) -> tuple[Fused, dict[UUID, float]]:
    """The matches as a cross-encoder orders what it read; as they were if it does not answer."""
    began = time.perf_counter()
    try:
        found = rerank(reranker, wanted.query.text or "", [hit.text for hit in read])
    except ScenebookError as error:
        findings.degraded["rerank"] = wanted.explain(error)
        log.warning("search_degraded", channel="rerank", code=error.code, error=str(error))
        return fused, {}
    finally:
        findings.timing_ms["rerank"]["search"] = _ms_since(began)
    known = {one.scene_id: one for one in fused.matches}
    best = [known[read[place].scene_id] for place in found.order]
    read_too = {hit.scene_id for hit in read}
    rest = [one for one in fused.matches if one.scene_id not in read_too]
    relevance = {
        hit.scene_id: one for hit, one in zip(read, found.relevance, strict=True) if one is not None
    }
    return replace(fused, matches=(*best, *rest)), relevance


def _answer(
    tx: Connection,
    wanted: Wanted,
    fused: Fused,
    findings: _Findings,
    relevance: Mapping[UUID, float] | None = None,
) -> SearchAnswer:
    """The page that is wanted of what was found, as people can read it."""
    groups = grouped(fused.matches, wanted.grouping)
    page, more = page_of(groups, wanted.after if wanted.whole else None, wanted.limit)
    hits = hits_of(tx, page, owner_id=wanted.owner_id, text=wanted.text, relevance=relevance or {})
    following = None
    if more:
        last = page[-1].best
        shown = len(page) + (wanted.after.shown if wanted.after else 0)
        following = Position(fused.as_of, last.score, last.scene_id, shown)
    text, owner_id = wanted.text, wanted.owner_id
    return SearchAnswer(
        hits=hits,
        degraded=findings.degraded,
        timing_ms=dict(findings.timing_ms),
        exact=fused.exact,
        next=following,
        corrections={} if text is None else words.corrections(tx, owner_id=owner_id, text=text),
    )


def _ms_since(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 2)

"""Search: a query asks each channel that applies, and the matches are fused into hits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection

from scenebook.db import scenes, spaces, videos
from scenebook.db.engine import Database
from scenebook.db.search import search_scenes
from scenebook.encoders.client import Encoders
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import InvalidQuery, ScenebookError
from scenebook.model import Channel, EmbeddingSpace, Match

log = structlog.get_logger(__name__)

# Rank constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
RRF_K = 60
# Least similarity by channel. CLIP's text-to-image cosines lie around 0.2 to 0.35.
THRESHOLDS: Mapping[Channel, float] = {
    Channel.VISUAL_CLIP: 0.2,
    Channel.TRANSCRIPT: 0.25,
    Channel.VISUAL: 0.25,
    Channel.SUMMARY: 0.25,
}
CANDIDATES = 50
MAX_QUERY_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a scene is a hit: its 1-based rank and its cosine similarity in one channel."""

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


class QueryEncoder(Protocol):
    """Turns a text query into a vector of one channel's space."""

    def __call__(self, channel: Channel, text: str) -> tuple[EmbeddingSpace, NDArray[np.float32]]:
        """The space and the vector, of norm 1."""


def query_encoder(encoders: Encoders, texts: TextEncoder) -> QueryEncoder:
    """Encode with CLIP's text tower for pictures and with the text model for words."""

    def encode(channel: Channel, text: str) -> tuple[EmbeddingSpace, NDArray[np.float32]]:
        if channel is Channel.VISUAL_CLIP:
            return encoders.image_space(), encoders.encode_query_image_text([text])[0]
        return texts.text_space(channel), texts.encode_texts([text])[0]

    return encode


def search_text(
    db: Database,
    encode: QueryEncoder,
    *,
    owner_id: UUID,
    text: str,
    channels: Sequence[Channel],
    limit: int = 10,
    video_id: UUID | None = None,
    thresholds: Mapping[Channel, float] = THRESHOLDS,
) -> SearchAnswer:
    """The owner's scenes that answer a text, best first.

    A channel that cannot answer is named in `degraded`; the others still do.
    """
    if not text.strip():
        raise InvalidQuery("The query is empty. Say what to look for.")
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidQuery(f"The query is longer than {MAX_QUERY_LENGTH} characters.")
    if not 1 <= limit <= 1000:
        raise InvalidQuery("The limit must be between 1 and 1000.")
    encoded: dict[Channel, tuple[EmbeddingSpace, NDArray[np.float32]]] = {}
    degraded: dict[Channel, str] = {}
    for channel in channels:
        try:
            encoded[channel] = encode(channel, text)
        except ScenebookError as error:
            degraded[channel] = str(error)
            log.warning("search_degraded", channel=channel, code=error.code)
    matches: dict[Channel, list[Match]] = {}
    with db.transaction(owner_id=owner_id) as tx:
        for channel, (space, vector) in encoded.items():
            space_id = spaces.find_space(tx, space)
            elsewhere = spaces.count_elsewhere(
                tx, owner_id=owner_id, channel=channel, space_id=space_id
            )
            if elsewhere:
                degraded[channel] = (
                    f"{elsewhere} scenes are embedded with another model than {space.model}; "
                    f"`scenebook retry VIDEO --channel {channel}` embeds them with this one."
                )
            if space_id is None:
                degraded.setdefault(channel, f"Nothing is embedded with {space.model} yet.")
                continue
            matches[channel] = search_scenes(
                tx,
                owner_id=owner_id,
                channel=channel,
                query=vector,
                threshold=thresholds[channel],
                limit=max(limit, CANDIDATES),
                space_id=space_id,
                video_id=video_id,
            )
        return SearchAnswer(_hits(tx, fuse(matches)[:limit], owner_id=owner_id), degraded)


def fuse(
    matches: Mapping[Channel, Sequence[Match]], weights: Mapping[Channel, float] | None = None
) -> list[tuple[Match, float, tuple[Reason, ...]]]:
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


def _hits(
    tx: Connection,
    fused: Sequence[tuple[Match, float, tuple[Reason, ...]]],
    *,
    owner_id: UUID,
) -> tuple[Hit, ...]:
    """The matches as hits, without those that were removed since they were found."""
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

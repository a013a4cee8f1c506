"""Search: a query asks each channel that applies, and the matches are fused into hits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol
from uuid import UUID

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection

from scenebook.db import spaces
from scenebook.db.engine import Database
from scenebook.db.search import search_scenes
from scenebook.db.spaces import StoredSpace, active_space
from scenebook.db.values import clean_text
from scenebook.errors import InvalidQuery, ScenebookError
from scenebook.hits import Hit, Reason, SearchAnswer, fuse, hits_of
from scenebook.model import Channel

__all__ = [
    "Hit",
    "Query",
    "QueryEncoder",
    "Reason",
    "SearchAnswer",
    "Thresholds",
    "fuse",
    "search",
    "search_text",
    "thresholds_of",
]

log = structlog.get_logger(__name__)

Vector = NDArray[np.float32]

# Least similarity of a text query by channel. CLIP's text-to-image cosines lie around 0.2 to 0.35
# (DESIGN section 8); a space whose calibration has `thresholds` says better.
THRESHOLDS: Mapping[Channel, float] = {
    Channel.VISUAL_CLIP: 0.2,
    Channel.TRANSCRIPT: 0.25,
    Channel.VISUAL: 0.25,
    Channel.SUMMARY: 0.25,
}
# CLIP's image-to-image cosines of like pictures lie around 0.7 to 1 (DESIGN section 8).
IMAGE_THRESHOLD = 0.7
CANDIDATES = 50
MAX_QUERY_LENGTH = 2000
# Another space may become the active one while a query is encoded; a third time is no accident.
TRIES = 3
MOVED = "Its space was changed while it was asked. Search again."
# A text and a picture whose weighted sum is shorter say opposite things.
SHORTEST_SUM = 1e-3


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: a text, an encoded picture, or both.

    The weights say how much each of the two counts where both are compared, in visual_clip; only
    their ratio matters.
    """

    text: str | None = None
    image: bytes | None = None
    text_weight: float = 0.5
    image_weight: float = 0.5


class QueryEncoder(Protocol):
    """Turns queries into vectors of norm 1 of a given space, with the model of that space.

    Raises InvalidQuery for a picture that cannot be used, another ScenebookError if the model
    cannot answer.
    """

    def encode_text(self, stored: StoredSpace, text: str) -> Vector:
        """The vector of a text in a space of any channel."""

    def encode_image(self, stored: StoredSpace, image: bytes) -> Vector:
        """The vector of an encoded picture in a space of visual_clip."""


class Thresholds(NamedTuple):
    """The least similarity that counts in a space, by the kind of query; -1 to 1."""

    text: float
    image: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query in one space: its vector, and the least similarity of a match."""

    vector: Vector
    threshold: float


def search(
    db: Database,
    encoder: QueryEncoder,
    *,
    owner_id: UUID,
    query: Query,
    channels: Sequence[Channel],
    limit: int = 10,
    video_id: UUID | None = None,
    threshold: float | None = None,
    weights: Mapping[Channel, float] | None = None,
) -> SearchAnswer:
    """The owner's scenes that answer a query, best first, in the active space of each channel.

    A picture is compared in visual_clip; the other channels use the text alone. A channel that
    cannot answer is named in `degraded`; the others still do. threshold: least cosine similarity in
    every channel; None: what suits the space and the kind of query. weights: of the channels in
    the fusion, 0 for those not named; None: all alike. Raises InvalidQuery.
    """
    query = _checked(query, channels, limit=limit, threshold=threshold)
    asked: dict[int, _Asked] = {}
    failed: dict[Channel, str] = {}
    for _ in range(TRIES):
        with db.transaction(owner_id=owner_id) as tx:
            active = _active(tx, channels)
        for channel, stored in active.items():
            if stored.id in asked or channel in failed:
                continue
            try:
                asked[stored.id] = _encoded(encoder, stored, query)
            except InvalidQuery:
                raise
            except ScenebookError as error:
                failed[channel] = str(error)
                log.warning("search_degraded", channel=channel, code=error.code)
        with db.transaction(owner_id=owner_id) as tx:
            if _active(tx, channels) != active:
                continue
            matches = {
                channel: search_scenes(
                    tx,
                    owner_id=owner_id,
                    channel=channel,
                    query=found.vector,
                    threshold=found.threshold if threshold is None else threshold,
                    limit=max(limit, CANDIDATES),
                    space_id=stored.id,
                    video_id=video_id,
                )
                for channel, stored in active.items()
                if (found := asked.get(stored.id)) is not None
            }
            hits = hits_of(tx, fuse(matches, weights)[:limit], owner_id=owner_id)
            return SearchAnswer(hits, _missed(tx, channels, active, owner_id=owner_id) | failed)
    return SearchAnswer((), dict.fromkeys(channels, MOVED))


def search_text(
    db: Database,
    encoder: QueryEncoder,
    *,
    owner_id: UUID,
    text: str,
    channels: Sequence[Channel],
    limit: int = 10,
    threshold: float | None = None,
) -> SearchAnswer:
    """The owner's scenes that answer a text, best first."""
    return search(
        db,
        encoder,
        owner_id=owner_id,
        query=Query(text),
        channels=channels,
        limit=limit,
        threshold=threshold,
    )


def checked_limits(*, limit: int, threshold: float | None) -> None:
    """Raise InvalidQuery for a limit or a threshold that cannot be meant."""
    if not 1 <= limit <= 1000:
        raise InvalidQuery("The limit must be between 1 and 1000.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise InvalidQuery("The threshold is a cosine similarity, between -1 and 1.")


def thresholds_of(stored: StoredSpace) -> Thresholds:
    """What counts as a match in a space: as it was measured there, else what is usual."""
    measured = stored.calibration.get("thresholds", {})
    return Thresholds(
        text=measured.get("text", THRESHOLDS[stored.space.channel]),
        image=measured.get("image", IMAGE_THRESHOLD),
    )


def nothing_embedded(channel: Channel) -> str:
    """Why a channel without an active space cannot answer."""
    return f"Nothing is embedded in {channel} yet."


def _checked(
    query: Query, channels: Sequence[Channel], *, limit: int, threshold: float | None
) -> Query:
    checked_limits(limit=limit, threshold=threshold)
    text = clean_text(query.text or "", limit=MAX_QUERY_LENGTH + 1)
    if not text.strip() and query.image is None:
        raise InvalidQuery("The query is empty. Say what to look for.")
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidQuery(f"The query is longer than {MAX_QUERY_LENGTH} characters.")
    if query.image is not None and Channel.VISUAL_CLIP not in channels:
        raise InvalidQuery("A picture is compared in visual_clip only. Ask that channel too.")
    if not text.strip() and set(channels) != {Channel.VISUAL_CLIP}:
        raise InvalidQuery("A picture alone is compared in visual_clip only. Add a text.")
    both = (query.text_weight, query.image_weight)
    if not all(0 <= one < math.inf for one in both) or not any(both):
        raise InvalidQuery("The weights of text and image are numbers from 0, not both 0.")
    return replace(query, text=text if text.strip() else None)


def _active(tx: Connection, channels: Sequence[Channel]) -> dict[Channel, StoredSpace]:
    found = {channel: active_space(tx, channel) for channel in channels}
    return {channel: stored for channel, stored in found.items() if stored is not None}


def _encoded(encoder: QueryEncoder, stored: StoredSpace, query: Query) -> _Asked:
    """The query's vector of norm 1 in a space, and the threshold that suits it."""
    thresholds = thresholds_of(stored)
    if query.image is None or stored.space.channel is not Channel.VISUAL_CLIP:
        assert query.text is not None
        return _Asked(encoder.encode_text(stored, query.text), thresholds.text)
    image = encoder.encode_image(stored, query.image)
    if query.text is None:
        return _Asked(image, thresholds.image)
    text = encoder.encode_text(stored, query.text)
    share = query.text_weight / (query.text_weight + query.image_weight)
    mixed = share * text + (1 - share) * image
    norm = float(np.linalg.norm(mixed))
    if norm < SHORTEST_SUM:
        raise InvalidQuery(
            "The text and the picture cancel each other out. Weigh one of them more."
        )
    # A scene exactly at both thresholds is at this one: a cosine with a sum is a sum of cosines.
    suitable = (share * thresholds.text + (1 - share) * thresholds.image) / norm
    return _Asked((mixed / norm).astype(np.float32), min(suitable, max(thresholds)))


def _missed(
    tx: Connection,
    channels: Sequence[Channel],
    active: Mapping[Channel, StoredSpace],
    *,
    owner_id: UUID,
) -> dict[Channel, str]:
    """The channels in which scenes of the owner cannot be found, and why."""
    missed = {}
    for channel in channels:
        if channel not in active:
            missed[channel] = nothing_embedded(channel)
            continue
        stored = active[channel]
        elsewhere = spaces.count_elsewhere(
            tx, owner_id=owner_id, channel=channel, space_id=stored.id
        )
        if elsewhere:
            missed[channel] = (
                f"{elsewhere} scenes are embedded with another model than {stored.space.model}; "
                f"`scenebook backfill --channel {channel} --space {stored.id}` embeds them with it."
            )
    return missed

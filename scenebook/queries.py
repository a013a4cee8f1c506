"""What a search is asked: a query of words, a picture or a scene, and how its channels count."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from scenebook.db.values import clean_text
from scenebook.errors import InvalidQuery
from scenebook.model import SearchChannel

MAX_QUERY_LENGTH = 2000
MAX_LIMIT = 1000
# What is asked where words are given; where there are none, only what is seen is compared.
TEXT_CHANNELS = (
    SearchChannel.TRANSCRIPT,
    SearchChannel.VISUAL,
    SearchChannel.SUMMARY,
    SearchChannel.LEXICAL,
)

Mode = Literal["balanced", "vision_heavy", "text_heavy", "visual_only"]
GroupBy = Literal["scene", "moment", "video"]
# The share of what is seen; what is said or written has the rest (reference 000, section "Modes").
VISION_SHARES: Mapping[Mode, float] = MappingProxyType(
    {"balanced": 0.5, "vision_heavy": 0.7, "text_heavy": 0.3, "visual_only": 1.0}
)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: a text, an encoded picture or one of the owner's scenes, or both.

    The weights say how much the text and the picture (or scene) each count where both are compared,
    in visual_clip; only their ratio matters.
    """

    text: str | None = None
    image: bytes | None = None
    text_weight: float = 0.5
    image_weight: float = 0.5
    scene_id: UUID | None = None

    @property
    def pictured(self) -> bool:
        """Whether something other than words is compared."""
        return self.image is not None or self.scene_id is not None


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a hit is: a scene, a moment (adjacent scenes as one) or a video; most scenes a video."""

    by: GroupBy = "scene"
    max_per_video: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every scene is a hit of its own."""
        return self.by == "scene" and self.max_per_video is None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: after this scene of the fused order, as of the first page's time."""

    as_of: datetime
    score: float
    scene_id: UUID
    shown: int


def shared_weights(
    vision_share: float, channels: Collection[SearchChannel]
) -> dict[SearchChannel, float]:
    """The channels' weights: visual_clip has the share of what is seen, the others share the rest.

    A share that no channel takes goes to the others, because only ratios count. Raises InvalidQuery
    if no channel is left.
    """
    texts = [channel for channel in channels if channel is not SearchChannel.VISUAL_CLIP]
    weights: dict[SearchChannel, float] = {
        channel: (1 - vision_share) / len(texts) for channel in texts
    }
    if SearchChannel.VISUAL_CLIP in channels:
        weights[SearchChannel.VISUAL_CLIP] = vision_share
    if not any(weights.values()):
        raise InvalidQuery(
            f"No channel that is asked counts where what is seen has the share {vision_share:g}. "
            "Take another mode or `vision_share`, or ask other channels."
        )
    return weights


def checked(
    query: Query, channels: Sequence[SearchChannel], *, limit: int, threshold: float | None
) -> Query:
    """The query without what Postgres refuses. Raises InvalidQuery for what cannot be meant."""
    checked_limits(limit=limit, threshold=threshold)
    text = clean_text(query.text or "", limit=MAX_QUERY_LENGTH + 1)
    if not text.strip() and not query.pictured:
        raise InvalidQuery("The query is empty. Say what to look for.")
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidQuery(f"The query is longer than {MAX_QUERY_LENGTH} characters.")
    if query.image is not None and query.scene_id is not None:
        raise InvalidQuery("Give a picture or a scene, not both.")
    if query.pictured and SearchChannel.VISUAL_CLIP not in channels:
        raise InvalidQuery("A picture is compared in visual_clip only. Ask that channel too.")
    if not text.strip() and set(channels) != {SearchChannel.VISUAL_CLIP}:
        raise InvalidQuery("A picture alone is compared in visual_clip only. Add a text.")
    both = (query.text_weight, query.image_weight)
    if not all(0 <= one < math.inf for one in both) or not any(both):
        raise InvalidQuery("The weights of text and image are numbers from 0, not both 0.")
    return replace(query, text=text if text.strip() else None)


def checked_limits(*, limit: int, threshold: float | None) -> None:
    """Raise InvalidQuery for a limit or a threshold that cannot be meant."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"The limit must be between 1 and {MAX_LIMIT}.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise InvalidQuery("The threshold is a cosine similarity, between -1 and 1.")

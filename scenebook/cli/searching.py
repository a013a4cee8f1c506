"""Asks several queries with one start of the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from uuid import UUID

from scenebook.cli.workplace import Workplace
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.model import SearchChannel
from scenebook.query_encoders import QueryEncoders
from scenebook.search import Query, SearchAnswer
from scenebook.search import search as search_once
from scenebook.settings import Settings


def search(
    place: Workplace,
    queries: Sequence[Query | str],
    *,
    channels: Sequence[SearchChannel] | None = None,
    limit: int = 10,
    video_id: UUID | None = None,
    threshold: float | None = None,
    weights: Mapping[SearchChannel, float] | None = None,
) -> list[SearchAnswer]:
    """One answer a query, from the channels named, or else from those in use that it suits.

    weights: of channels in the fusion; those not named count 1, and 0 leaves a channel out.
    """

    def paid(owner_id: UUID) -> PaidCallsOf:
        return PaidCallsOf(place.database, owner_id=owner_id)

    with closing(QueryEncoders(place.settings, paid)) as encoders:
        answers = []
        for query in queries:
            asked = Query(query) if isinstance(query, str) else query
            counting = {
                channel: weight
                for channel in dict.fromkeys(channels or suitable(place.settings, asked))
                if (weight := (weights or {}).get(channel, 1.0)) > 0
            }
            answers.append(
                search_once(
                    place.database,
                    encoders.of(owner_id=place.owner_id),
                    owner_id=place.owner_id,
                    query=asked,
                    channels=list(counting),
                    limit=limit,
                    video_id=video_id,
                    threshold=threshold,
                    weights=counting,
                )
            )
        return answers


def suitable(settings: Settings, query: Query) -> list[SearchChannel]:
    """The channels that a query is asked where none is named."""
    channels = channels_in_use(settings) if query.text else []
    if query.image is not None and SearchChannel.VISUAL_CLIP not in channels:
        channels.append(SearchChannel.VISUAL_CLIP)
    return channels


def channels_in_use(settings: Settings) -> list[SearchChannel]:
    """The channels that these settings fill, so that an idle one is not called degraded."""
    channels = [SearchChannel.TRANSCRIPT, SearchChannel.LEXICAL]
    if settings.openai_api_key is not None and settings.description_max_calls > 0:
        channels += [SearchChannel.VISUAL, SearchChannel.SUMMARY]
    if settings.clip_enabled:
        channels.append(SearchChannel.VISUAL_CLIP)
    return channels

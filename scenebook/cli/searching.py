"""Asks several texts with one start of the models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from uuid import UUID

from scenebook.cli.workplace import Workplace
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.encoders.client import Encoders
from scenebook.encoders.protocols import TextEncoder
from scenebook.model import Channel
from scenebook.remote import RemoteModels
from scenebook.search import SearchAnswer, query_encoder, search_text
from scenebook.settings import Settings


def search(
    place: Workplace,
    texts: Sequence[str],
    *,
    channels: Sequence[Channel] | None = None,
    limit: int = 10,
    video_id: UUID | None = None,
) -> list[SearchAnswer]:
    """One answer a text, from the channels named, or else from those in use."""
    with closing(Encoders(place.settings)) as encoders, _text_encoder(place, encoders) as words:
        encode = query_encoder(encoders, words)
        return [
            search_text(
                place.database,
                encode,
                owner_id=place.owner_id,
                text=text,
                channels=channels or channels_in_use(place.settings),
                limit=limit,
                video_id=video_id,
            )
            for text in texts
        ]


@contextmanager
def _text_encoder(place: Workplace, encoders: Encoders) -> Iterator[TextEncoder]:
    """The text model in force: in the inference child, or behind an API."""
    if place.settings.text_embedding_provider != "openai":
        yield encoders
        return
    cache = PaidCallsOf(place.database, owner_id=place.owner_id)
    with closing(RemoteModels(place.settings, cache)) as models:
        yield models


def channels_in_use(settings: Settings) -> list[Channel]:
    """The channels that these settings fill, so that an idle one is not called degraded."""
    channels = [Channel.TRANSCRIPT]
    if settings.openai_api_key is not None and settings.description_max_calls > 0:
        channels += [Channel.VISUAL, Channel.SUMMARY]
    if settings.clip_enabled:
        channels.append(Channel.VISUAL_CLIP)
    return channels

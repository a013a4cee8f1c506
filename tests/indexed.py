"""What tests look at after indexing: the shipped video, its scenes, and what a search finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import UUID

import psycopg

from scenebook.model import Channel, ChannelStatus, Scene
from scenebook.query_encoders import LoadedModels
from scenebook.search import Query, search
from scenebook.videos import scenes_of
from tests.pipelines import Pipeline

MEDIA = Path(__file__).parent / "media"
VIDEO = MEDIA / "composite_dev.mp4"
SUBTITLES = MEDIA / "composite_dev.vtt"
FAKE_CLIP = {"clip_enabled": True, "clip_model_name": "fake"}


def statuses(scenes: list[Scene], channel: Channel) -> Counter[ChannelStatus]:
    """How many scenes have which status in a channel."""
    return Counter(
        state.status for scene in scenes for state in scene.channels if state.channel is channel
    )


def of(pipeline: Pipeline, owner_id: UUID, video_id: UUID) -> list[Scene]:
    return scenes_of(pipeline.tools.db, owner_id=owner_id, video_id=video_id)


def found(pipeline: Pipeline, owner_id: UUID, text: str, channel: Channel) -> list[UUID]:
    encode = LoadedModels(pipeline.tools.encoders, pipeline.tools.encoders)
    answer = search(
        pipeline.tools.db, encode, owner_id=owner_id, query=Query(text), channels=[channel]
    )
    assert not answer.degraded
    return [hit.video_id for hit in answer.hits]


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"select count(*) from public.{table}").fetchone()
    assert row is not None
    return int(row[0])

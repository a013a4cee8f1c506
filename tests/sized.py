"""The fake CLIP in other spaces: CLIP_PRETRAINED is how many dimensions its vectors have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenebook.backfill import Backfill, Wanted
from scenebook.encoders.client import Encoders, ImageVector
from scenebook.encoders.fake import FakeClip
from scenebook.model import Channel, ChannelState, ChannelStatus, EmbeddingSpace, Video
from scenebook.query_encoders import QueryEncoders
from scenebook.search import Query, SearchAnswer, search
from scenebook.settings import Settings
from scenebook.spaces import Operator
from scenebook.videos import get_video, scenes_of
from tests.pipelines import Pipeline
from tests.rows import a_scene, a_video

# Where encoders are made.
MAKERS = (
    "worker.pipeline.tools",
    "scenebook.space_models",
    "scenebook.query_encoders",
    "scenebook.cli.backfilling",
)


class SizedFake(Encoders):
    """Colours as the fake sees them, at the end of a longer vector; in this process, for speed."""

    looked = 0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._dimensions = int(settings.clip_pretrained)

    def image_space(self) -> EmbeddingSpace:
        weights = str(self._dimensions)
        return EmbeddingSpace(Channel.VISUAL_CLIP, "fake", weights, "grid-6", self._dimensions)

    def encode_images(
        self, images: Sequence[bytes | None], *, moved: Callable[[], None] = lambda: None
    ) -> list[ImageVector]:
        return [self._look(one) for one in images]

    def _look(self, image: bytes | None) -> ImageVector:
        if image is None:
            return ImageVector(ChannelStatus.NO_FRAME)
        SizedFake.looked += 1
        try:
            picture = Image.open(BytesIO(image)).convert("RGB")
        except OSError as error:
            return ImageVector(ChannelStatus.DECODE_ERROR, error=str(error))
        vector = self._longer(FakeClip().encode([picture])[0])
        return ImageVector(ChannelStatus.OK, vector, inference_time_ms=1.0)

    def image_metadata(self, answer: ImageVector, **about: Any) -> dict[str, Any]:
        return super().image_metadata(answer, **about) | {"embed_dim": self._dimensions}

    def encode_query_image_text(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self._longer(one) for one in FakeClip().encode_words(texts)]

    def _longer(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([np.zeros(self._dimensions - len(vector), np.float32), vector])


def use(patch: pytest.MonkeyPatch) -> None:
    """Make every Encoders of this process a SizedFake."""
    for module in MAKERS:
        patch.setattr(f"{module}.Encoders", SizedFake)


def seeing(settings: Settings, dimensions: int, **changes: object) -> Settings:
    """Settings with a CLIP of this size."""
    return settings.model_copy(
        update={
            "clip_enabled": True,
            "clip_model_name": "fake",
            "clip_pretrained": str(dimensions),
            **changes,
        }
    )


def operator(pipeline: Pipeline) -> Operator:
    """Who changes spaces."""
    return Operator(pipeline.tools.db, pipeline.relay)


def backfill(
    pipeline: Pipeline,
    space_id: int | None = None,
    *,
    channel: Channel = Channel.VISUAL_CLIP,
    clip_enabled: bool = True,
    **wanted: Any,
) -> Backfill:
    """A run with the pipeline's models."""
    tools = pipeline.tools
    return Backfill(
        tools.db,
        tools.storage,
        tools.models,
        Wanted(channel, space_id, **wanted),
        clip_enabled=clip_enabled,
    )


def ask(pipeline: Pipeline, owner_id: UUID, text: str = "grey") -> SearchAnswer:
    """What a search finds in visual_clip, with the model of the active space."""
    encoders = QueryEncoders(pipeline.tools.settings)
    try:
        return search(
            pipeline.tools.db,
            encoders,
            owner_id=owner_id,
            query=Query(text),
            channels=[Channel.VISUAL_CLIP],
            threshold=-1.0,
            limit=100,
        )
    finally:
        encoders.close()


def index(pipeline: Pipeline, owner_id: UUID, scenes: Sequence[Sequence[bytes]]) -> Video:
    """A video whose scenes have these keyframes, from where segmentation would have left it."""
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        video = a_video(connection, owner=owner_id, status="processing")
        for place, pictures in enumerate(scenes):
            scene = a_scene(connection, owner=owner_id, video=video, index=place)
            connection.execute(
                "insert into public.scene_channels (owner_id, scene_id, channel, status)"
                " select %s, %s, c, case c when 'visual_clip' then 'pending' else 'disabled' end"
                " from unnest(%s::text[]) as c",
                (owner_id, scene, [channel.value for channel in Channel]),
            )
            for rank, picture in enumerate(pictures):
                key = f"{owner_id}/{scene}/{rank}.png"
                pipeline.tools.storage.put(key, picture)
                connection.execute(
                    "insert into public.keyframes"
                    " (owner_id, scene_id, at_ms, rank, quality, image_key, image_hash)"
                    " values (%s, %s, %s, %s, '{}', %s, %s)",
                    (owner_id, scene, place * 1000 + rank * 100, rank, key,
                     hashlib.sha256(picture).hexdigest()),
                )  # fmt: skip
        done = ["probe", "segment", "transcribe", "describe", "embed_text"]
        connection.execute(
            "insert into public.jobs (owner_id, video_id, generation, stage, state, finished_at)"
            " select %s, %s, 1, s, case when s = any(%s) then 'succeeded' else 'queued' end,"
            " case when s = any(%s) then now() end from unnest(%s::text[]) as s",
            (owner_id, video, done, done, [*done, "visual_clip"]),
        )
    pipeline.work()
    return get_video(pipeline.tools.db, owner_id=owner_id, video_id=video)


def states(pipeline: Pipeline, video: Video) -> list[ChannelState]:
    """visual_clip in each scene, in order."""
    told = scenes_of(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)
    return [
        state for scene in told for state in scene.channels if state.channel is Channel.VISUAL_CLIP
    ]


def rows(url: str, sql: str, *values: object) -> list[tuple[object, ...]]:
    """What the superuser reads."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode(), values).fetchall()

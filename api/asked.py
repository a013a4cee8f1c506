"""What a client may ask of a search."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.fields import Text
from scenebook import queries
from scenebook.model import SearchChannel
from scenebook.queries import GroupBy, Mode

Ms = Annotated[int, Field(ge=0, le=10**12)]
Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Threshold = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class FiltersIn(BaseModel):
    """Which scenes may be found."""

    model_config = ConfigDict(extra="forbid")

    video_ids: Annotated[list[UUID], Field(max_length=200)] | None = None
    tags: Annotated[list[Text], Field(max_length=50)] | None = Field(
        default=None, description="A scene has all of them."
    )
    from_ms: Ms | None = Field(default=None, description="A scene overlaps this part of its video.")
    to_ms: Ms | None = None
    min_duration_ms: Ms | None = Field(default=None, description="Of the scene.")
    max_duration_ms: Ms | None = None
    has_speech: bool | None = None


class SearchIn(BaseModel):
    """What to look for: a text, a picture or a scene, or a text with one of the two."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[Text, Field(max_length=queries.MAX_QUERY_LENGTH)] | None = Field(
        default=None,
        description='Words; `"a phrase"`, `or` and `-without` count in the channel `lexical`.',
    )
    image: str | None = Field(
        default=None, description="A picture in base64: JPEG, PNG, WebP, GIF or BMP."
    )
    scene_id: UUID | None = Field(
        default=None, description="Scenes like this one; it is left out itself."
    )
    text_weight: Weight = Field(default=0.5, description="Of the text, where both are compared.")
    image_weight: Weight = Field(default=0.5, description="Of the picture or scene.")
    channels: Annotated[list[SearchChannel], Field(min_length=1)] | None = Field(
        default=None,
        description="What is asked. Default: every channel that has something; with a mode that is "
        "named, or a share of what is seen, visual_clip in any case.",
    )
    mode: Mode = "balanced"
    vision_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Share of what is seen, instead of the mode's."
    )
    weights: dict[SearchChannel, Weight] | None = Field(
        default=None,
        description="Of channels, those not named have 0; they win over `vision_share` and `mode`.",
    )
    threshold: Threshold | None = Field(
        default=None,
        description="Least cosine similarity. Default: what suits the channel and the query.",
    )
    filters: FiltersIn = Field(default_factory=lambda: FiltersIn())
    group_by: GroupBy = Field(
        default="scene", description="A `moment` is adjacent scenes put together."
    )
    max_per_video: Annotated[int, Field(ge=1, le=100)] | None = None
    rerank: bool = Field(default=False, description="Let the cross-encoder order the best hits.")
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    page_token: Annotated[str, Field(max_length=2000)] | None = None

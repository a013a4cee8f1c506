"""Which settings load a model, so that a space that is no longer configured can still be asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scenebook.model import Channel
from scenebook.settings import Settings

CLIP = ("clip_model_name", "clip_pretrained", "clip_max_image_size", "clip_fit")
TEXT = ("text_embedding_provider", "text_embedding_model")


def source_of(settings: Settings, channel: Channel) -> dict[str, str]:
    """The settings that decide the vectors of a channel; kept with its embedding space."""
    names = CLIP if channel is Channel.VISUAL_CLIP else TEXT
    return {name: _lasting(str(getattr(settings, name))) for name in names}


def with_source(settings: Settings, source: Mapping[str, str]) -> Settings:
    """The settings under which the vectors of a space are made; `{}` changes nothing."""
    known = {name: value for name, value in source.items() if name in (*CLIP, *TEXT)}
    return Settings.model_validate(settings.model_dump() | known)


def _lasting(value: str) -> str:
    """A path must mean the same in another directory."""
    path = Path(value)
    return str(path.resolve()) if len(path.parts) > 1 and path.exists() else value

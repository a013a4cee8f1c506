"""The documented `visual_clip_metadata` of one scene."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scenebook.encoders.images import ImageVector
from scenebook.encoders.spaces import LoadedModel
from scenebook.settings import Settings


def visual_clip_metadata(
    settings: Settings,
    loaded: LoadedModel | None,
    answer: ImageVector,
    *,
    frame_path: str | None,
    frame_quality: dict[str, float] | None,
    created_at: datetime,
) -> dict[str, Any]:
    """A JSON object whose fields are part of the interface, in this order.

    loaded is None while the model cannot be loaded: then the settings are all that is known, and
    embed_dim is null. A disabled channel has no error: nothing went wrong. frame_path is the key of
    the stored keyframe.
    """
    return {
        "model_name": loaded.model if loaded else settings.clip_model_name,
        "pretrained": loaded.weights if loaded else settings.clip_pretrained,
        "embed_dim": loaded.dimensions if loaded else None,
        "normalized": settings.clip_normalize,
        "device": loaded.device if loaded else settings.clip_device,
        "frame_path": frame_path,
        "frame_quality": frame_quality,
        "inference_time_ms": answer.inference_time_ms,
        "created_at": created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "error": answer.error,
    }

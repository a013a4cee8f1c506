"""Sidecars: the versioned document of everything known about one scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from scenebook.model import Scene, Utterance

VERSION = 1


def build(scene: Scene, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """The sidecar of a scene, as `sidecar.schema.json` describes it. Vectors are not part of it."""
    return {
        "version": VERSION,
        "scene_index": scene.scene_index,
        "start_ms": scene.start_ms,
        "end_ms": scene.end_ms,
        "transcript": scene.transcript,
        "utterances": [
            {
                "start_ms": line.start_ms,
                "end_ms": line.end_ms,
                "text": line.text,
                "speaker": line.speaker,
                "source": line.source.value,
            }
            for line in utterances
        ],
        "description": scene.description,
        "summary": scene.summary,
        "tags": list(scene.tags),
        "keyframes": [
            {
                "at_ms": keyframe.at_ms,
                "rank": keyframe.rank,
                "quality": dict(keyframe.quality),
                "image_key": keyframe.image_key,
                "image_hash": keyframe.image_hash,
            }
            for keyframe in scene.keyframes
        ],
        "channels": {
            state.channel.value: {
                "status": state.status.value,
                "error": state.error,
                "metadata": state.metadata,
            }
            for state in scene.channels
        },
    }


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of this version's sidecars."""
    document = (resources.files("scenebook") / "sidecar.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(document)
    return loaded

"""Vectors of scenes' texts in one space: a long text has one for each piece that fits the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from scenebook.db.spaces import SceneVector
from scenebook.embedding import SceneResult
from scenebook.encoders.protocols import TextEncoder
from scenebook.model import Channel, ChannelState, ChannelStatus, EmbeddingSpace, Scene

# Metadata of a text that is older than its vector; see worker.pipeline.describe.
DESCRIBED_BY = frozenset({"keyframe_rank", "same_as_scene", "unusable_answers"})


def text_of(scene: Scene, channel: Channel) -> str:
    """What a scene has to say in a channel of texts; empty if nothing."""
    texts = {
        Channel.TRANSCRIPT: scene.transcript,
        Channel.VISUAL: scene.description,
        Channel.SUMMARY: scene.summary,
    }
    return texts[channel] or ""


def embed_scenes(
    encoder: TextEncoder,
    space: EmbeddingSpace,
    batch: Sequence[Scene],
    *,
    moved: Callable[[], None] = lambda: None,
) -> list[SceneResult]:
    """The vectors of each scene's text in a channel, in order; a blank text is `empty`.

    moved is called between the steps. Raises what the encoder raises.
    """
    channel = space.channel
    texts = [text_of(scene, channel) for scene in batch]
    pieces = [encoder.text_pieces(text) if text else [] for text in texts]
    moved()
    vectors = iter(encoder.encode_texts([piece for of_one in pieces for piece in of_one]))
    return [
        SceneResult(
            scene,
            _state(space, scene, of_one),
            [
                SceneVector(scene.id, ordinal, vector)
                for ordinal, vector in enumerate(islice(vectors, len(of_one)))
            ],
        )
        for scene, of_one in zip(batch, pieces, strict=True)
    ]


def refused(
    channel: Channel, batch: Sequence[Scene], status: ChannelStatus, why: str
) -> list[SceneResult]:
    """The same reason for every scene that has a text."""
    return [
        SceneResult(
            scene,
            ChannelState(channel, status, why, _said_before(scene, channel))
            if text_of(scene, channel)
            else ChannelState(channel, ChannelStatus.EMPTY),
        )
        for scene in batch
    ]


def _said_before(scene: Scene, channel: Channel) -> dict[str, Any]:
    """What the description's stage said of the text; its vector changes nothing of that."""
    states = (state for state in scene.channels if state.channel is channel)
    return {
        name: value
        for state in states
        for name, value in state.metadata.items()
        if name in DESCRIBED_BY
    }


def _state(space: EmbeddingSpace, scene: Scene, pieces: Sequence[str]) -> ChannelState:
    if not pieces:
        return ChannelState(space.channel, ChannelStatus.EMPTY)
    text = "\n".join(pieces)
    return ChannelState(
        space.channel,
        ChannelStatus.OK,
        None,
        _said_before(scene, space.channel)
        | {
            "model": space.model,
            "dimensions": space.dimensions,
            "pieces": len(pieces),
            "input_length": len(text),
            "input_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        },
    )

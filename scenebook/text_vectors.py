"""Vectors of scenes' texts in one space: a long text has one for each piece that fits the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from scenebook.db.spaces import SceneVector
from scenebook.embedding import SceneResult
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import ConfigurationError, DeadlineExceeded, ScenebookError, Unavailable
from scenebook.model import Channel, ChannelState, ChannelStatus, EmbeddingSpace, Scene

log = structlog.get_logger(__name__)

# Pieces of one request to the encoder, between two signs of life.
PIECES = 256
# So many scenes in a row, each of which fails alone, and it is the model and not their texts.
FAILURES_IN_A_ROW = 3

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
    vectors = iter(_encoded(encoder, [piece for of_one in pieces for piece in of_one], moved))
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


def embed_each(
    encoder: TextEncoder,
    space: EmbeddingSpace,
    batch: Sequence[Scene],
    *,
    moved: Callable[[], None] = lambda: None,
) -> tuple[list[SceneResult], ScenebookError | None]:
    """As embed_scenes, but a scene whose text the model cannot embed is marked, and no other.

    Also the error if so many fail in a row that the rest of the batch is not tried. Raises
    Unavailable and ConfigurationError, which are no text's fault, and what `moved` raises.
    """
    try:
        return embed_scenes(encoder, space, batch, moved=moved), None
    except ScenebookError as error:
        moved()
        _raise_unless_a_text_may_cause(error)
        log.warning("text_batch_failed", scenes=len(batch), code=error.code, reason=str(error))
    results: list[SceneResult] = []
    failed: list[ScenebookError] = []
    for place, scene in enumerate(batch):
        try:
            results += embed_scenes(encoder, space, [scene], moved=moved)
            failed.clear()
            continue
        except ScenebookError as error:
            moved()
            _raise_unless_a_text_may_cause(error)
            failed.append(error)
        timed_out = isinstance(failed[-1], DeadlineExceeded)
        status = ChannelStatus.TIMEOUT if timed_out else ChannelStatus.ERROR
        results += refused(space.channel, [scene], status, str(failed[-1]))
        if len(failed) == FAILURES_IN_A_ROW:
            why = f"Not tried, after several failures: {failed[-1]}"
            results += refused(space.channel, batch[place + 1 :], ChannelStatus.ERROR, why)
            return results, failed[-1]
    return results, None


def _raise_unless_a_text_may_cause(error: ScenebookError) -> None:
    passing = isinstance(error, Unavailable) and error.code != "bad_answer"
    if passing or isinstance(error, ConfigurationError):
        raise error


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


def _encoded(
    encoder: TextEncoder, pieces: Sequence[str], moved: Callable[[], None]
) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(pieces), PIECES):
        yield from encoder.encode_texts(pieces[first : first + PIECES])
        moved()


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

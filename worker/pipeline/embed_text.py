"""Embed text: vectors of transcripts, descriptions and summaries; an empty text has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import structlog
from numpy.typing import NDArray

from scenebook import metrics
from scenebook.db import scenes, spaces
from scenebook.db.spaces import SceneVector
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import ModelUnavailable
from scenebook.model import Channel, ChannelState, ChannelStatus, EmbeddingSpace, Scene
from worker.pipeline.batches import batches
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One channel of one scene: its text in pieces that fit the model, and a vector for each."""

    scene: Scene
    channel: Channel
    pieces: Sequence[str]
    vectors: Sequence[NDArray[np.float32]]


def embed_text(tools: Tools, claim: Claim) -> None:
    """Embed every text of the job's scenes that has no vector yet."""
    claim.on_stop(tools.encoders.kill)
    with tools.texts(owner_id=claim.job.owner_id) as encoder:
        for batch in batches(tools, claim):
            try:
                _embed(tools, claim, encoder, batch)
            except ModelUnavailable as error:
                log.warning("text_embedding_unavailable", error=str(error))
                _give_up(claim, batch, str(error))
    with claim.commit():
        pass


def _waiting(scene: Scene) -> Iterator[tuple[Channel, str]]:
    """The channels whose text, or its absence, has still to be recorded.

    A channel without text that is not `pending` says already why it has none.
    """
    texts = {
        Channel.TRANSCRIPT: scene.transcript,
        Channel.VISUAL: scene.description,
        Channel.SUMMARY: scene.summary,
    }
    for state in scene.channels:
        if state.channel in texts and state.status is not ChannelStatus.OK:
            text = texts[state.channel] or ""
            if text or state.status is ChannelStatus.PENDING:
                yield state.channel, text


def _embed(tools: Tools, claim: Claim, encoder: TextEncoder, batch: Sequence[Scene]) -> None:
    """One call of the model for the whole batch, then one transaction."""
    waiting = [(scene, channel, text) for scene in batch for channel, text in _waiting(scene)]
    used = {channel: encoder.text_space(channel) for _, channel, text in waiting if text}
    claim.moved()  # the model may have been downloaded just now
    pieces = [encoder.text_pieces(text) if text else [] for _, _, text in waiting]
    claim.moved()
    vectors = iter(encoder.encode_texts([piece for of_one in pieces for piece in of_one]))
    embedded = [
        Embedded(scene, channel, of_one, list(islice(vectors, len(of_one))))
        for (scene, channel, _), of_one in zip(waiting, pieces, strict=True)
    ]
    failpoint("mid_inference", tools.settings)
    _store(claim, embedded, used)


def _store(claim: Claim, embedded: Sequence[Embedded], used: dict[Channel, EmbeddingSpace]) -> None:
    job = claim.job
    states = [(one.scene.id, _state(one, used)) for one in embedded]
    with claim.checkpoint() as tx:
        for channel, space in used.items():
            of_channel = [one for one in embedded if one.channel is channel]
            spaces.replace_vectors(
                tx,
                owner_id=job.owner_id,
                video_id=job.video_id,
                generation=job.generation,
                space_id=spaces.open_space(tx, space),
                scene_ids=[one.scene.id for one in of_channel],
                vectors=[
                    SceneVector(one.scene.id, ordinal, vector)
                    for one in of_channel
                    for ordinal, vector in enumerate(one.vectors)
                ],
            )
        scenes.set_channels(tx, states, owner_id=job.owner_id)
    for _, state in states:
        metrics.SCENE_CHANNELS.labels(state.channel.value, state.status.value).inc()


def _state(one: Embedded, used: dict[Channel, EmbeddingSpace]) -> ChannelState:
    if not one.pieces:
        return ChannelState(one.channel, ChannelStatus.EMPTY)
    space = used[one.channel]
    text = "\n".join(one.pieces)
    return ChannelState(
        one.channel,
        ChannelStatus.OK,
        None,
        {
            "model": space.model,
            "dimensions": space.dimensions,
            "pieces": len(one.pieces),
            "input_length": len(text),
            "input_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        },
    )


def _give_up(claim: Claim, batch: Sequence[Scene], why: str) -> None:
    """The model cannot be loaded: say so for every text, and keep the texts."""
    states = [
        (
            scene.id,
            ChannelState(channel, ChannelStatus.LOAD_ERROR, why)
            if text
            else ChannelState(channel, ChannelStatus.EMPTY),
        )
        for scene in batch
        for channel, text in _waiting(scene)
    ]
    with claim.checkpoint() as tx:
        scenes.set_channels(tx, states, owner_id=claim.job.owner_id)

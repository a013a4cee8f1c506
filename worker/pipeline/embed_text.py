"""Embed text: vectors of transcripts, descriptions and summaries; an empty text has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

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

TEXT_CHANNELS = (Channel.TRANSCRIPT, Channel.VISUAL, Channel.SUMMARY)


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """The text of one channel of one scene, in pieces that fit the model."""

    scene: Scene
    channel: Channel
    pieces: Sequence[str]


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


def _waiting(scene: Scene) -> Iterator[tuple[Channel, str | None]]:
    """The channels whose text, or its absence, has still to be recorded."""
    texts = {
        Channel.TRANSCRIPT: scene.transcript,
        Channel.VISUAL: scene.description,
        Channel.SUMMARY: scene.summary,
    }
    for state in scene.channels:
        if state.channel in texts and (
            state.status is ChannelStatus.PENDING
            or (texts[state.channel] and state.status is not ChannelStatus.OK)
        ):
            yield state.channel, texts[state.channel]


def _embed(tools: Tools, claim: Claim, encoder: TextEncoder, batch: Sequence[Scene]) -> None:
    """One call of the model for the whole batch, then one transaction."""
    waiting = [(scene, channel, text) for scene in batch for channel, text in _waiting(scene)]
    states: list[tuple[UUID, ChannelState]] = [
        (scene.id, ChannelState(channel, ChannelStatus.EMPTY))
        for scene, channel, text in waiting
        if not text
    ]
    todo = [
        ToEmbed(scene, channel, encoder.text_pieces(text))
        for scene, channel, text in waiting
        if text
    ]
    vectors = iter(encoder.encode_texts([piece for one in todo for piece in one.pieces]))
    used = {one.channel: encoder.text_space(one.channel) for one in todo}
    made: dict[Channel, list[SceneVector]] = {channel: [] for channel in used}
    for one in todo:
        for ordinal, _ in enumerate(one.pieces):
            made[one.channel].append(SceneVector(one.scene.id, ordinal, next(vectors)))
        states.append((one.scene.id, _ok(one, used[one.channel])))
    failpoint("mid_inference", tools.settings)
    job = claim.job
    with claim.checkpoint() as tx:
        for channel, space in used.items():
            spaces.replace_vectors(
                tx,
                owner_id=job.owner_id,
                video_id=job.video_id,
                generation=job.generation,
                space_id=spaces.open_space(tx, space),
                scene_ids=[one.scene.id for one in todo if one.channel is channel],
                vectors=made[channel],
            )
        scenes.set_channels(tx, states, owner_id=job.owner_id)
    for _, state in states:
        metrics.SCENE_CHANNELS.labels(state.channel.value, state.status.value).inc()


def _ok(one: ToEmbed, space: EmbeddingSpace) -> ChannelState:
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

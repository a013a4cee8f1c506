"""Embed text: vectors of transcripts, descriptions and summaries; an empty text has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import structlog

from scenebook import metrics, text_vectors
from scenebook.db import scenes
from scenebook.embedding import SceneResult, SpaceResults, SpacesChanged, store
from scenebook.errors import ModelUnavailable, ScenebookError
from scenebook.model import Channel, ChannelState, ChannelStatus, EmbeddingSpace, Scene
from scenebook.space_models import Models, Target, TextEncoders, targets
from scenebook.text_vectors import text_of
from worker.pipeline.batches import batches
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)

TEXTS = (Channel.TRANSCRIPT, Channel.VISUAL, Channel.SUMMARY)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What embeds the texts of one job."""

    tools: Tools
    claim: Claim
    texts: TextEncoders
    # Why the model was given up, if it was.
    given_up: list[ScenebookError] = field(default_factory=list)


def embed_text(tools: Tools, claim: Claim) -> None:
    """Embed every text of the job's scenes that has no vector yet."""
    claim.on_stop(tools.models.kill)
    with closing(TextEncoders(tools.db, owner_id=claim.job.owner_id)) as texts:
        claim.on_stop(texts.stop)
        work = _Work(tools, claim, texts)
        for batch in batches(tools, claim):
            for channel in TEXTS:
                waiting = list(_waiting(batch, channel))
                _say_empty(claim, channel, [one for one in waiting if not text_of(one, channel)])
                full = [one for one in waiting if text_of(one, channel)]
                while full and not _embed(work, channel, full):
                    log.info("active_space_changed", channel=channel)
    with claim.commit():
        pass


def _waiting(batch: Sequence[Scene], channel: Channel) -> Iterator[Scene]:
    """The scenes whose text in a channel, or its absence, has still to be recorded.

    A channel without text that is not `pending` says already why it has none.
    """
    for scene in batch:
        for state in scene.channels:
            if state.channel is channel and (
                state.status is ChannelStatus.PENDING
                or (state.status is not ChannelStatus.OK and text_of(scene, channel))
            ):
                yield scene


def _say_empty(claim: Claim, channel: Channel, batch: Sequence[Scene]) -> None:
    if batch:
        states = [(scene.id, ChannelState(channel, ChannelStatus.EMPTY)) for scene in batch]
        with claim.checkpoint() as tx:
            scenes.set_channels(tx, states, owner_id=claim.job.owner_id)
        metrics.count_settled(state for _, state in states)


def _embed(work: _Work, channel: Channel, batch: Sequence[Scene]) -> bool:
    """Embed in the active space and in the configured one; False if it must be done again."""
    tools, claim = work.tools, work.claim
    owner_id = claim.job.owner_id

    def load(models: Models) -> EmbeddingSpace:
        return work.texts.of(models).text_space(channel)

    active, *beside = targets(tools.models, tools.db, channel, load, owner_id=owner_id)
    claim.moved()  # the model may have been downloaded just now
    embedded = [SpaceResults(active.stored, _results(work, channel, active, batch))]
    for target in beside:
        claim.moved()
        embedded.append(SpaceResults(target.stored, _best_effort(work, channel, target, batch)))
    failpoint("mid_inference", tools.settings)
    try:
        with claim.checkpoint() as tx:
            store(tx, channel, embedded, owner_id=owner_id)
    except SpacesChanged:
        return False
    metrics.count_settled(one.state for one in embedded[0].results)
    if work.given_up and work.given_up[-1].retryable:
        # What was embedded is stored; the job's next attempt tries the rest.
        raise work.given_up[-1]
    return True


def _results(
    work: _Work, channel: Channel, target: Target, batch: Sequence[Scene]
) -> list[SceneResult]:
    why = target.problem
    if why is None and target.stored is not None:
        try:
            results, given_up = text_vectors.embed_each(
                work.texts.of(target.models),
                target.stored.space,
                batch,
                moved=work.claim.moved,
            )
            work.given_up.extend([given_up] if given_up is not None else [])
            return results
        except ModelUnavailable as error:
            why = str(error)
    log.warning("text_embedding_unavailable", error=why)
    return text_vectors.refused(channel, batch, ChannelStatus.LOAD_ERROR, why or "")


def _best_effort(
    work: _Work, channel: Channel, target: Target, batch: Sequence[Scene]
) -> list[SceneResult]:
    """As _results, but no failure of a space that nobody searches may hurt the one they do."""
    try:
        return _results(replace(work, given_up=[]), channel, target, batch)
    except ScenebookError as error:
        work.claim.check()
        log.warning("second_space_failed", space_id=target.stored and target.stored.id)
        return text_vectors.refused(channel, batch, ChannelStatus.ERROR, str(error))

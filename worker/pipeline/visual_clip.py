"""Visual CLIP: vectors for the keyframes of each scene, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from scenebook import metrics, visual_vectors
from scenebook.db import owners, scenes, spaces
from scenebook.embedding import SceneResult, SpaceResults, SpacesChanged, store
from scenebook.errors import ScenebookError
from scenebook.model import Channel, ChannelStatus, EmbeddingSpace, Scene
from scenebook.space_models import Models, Target, targets
from worker.pipeline.batches import batches
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)


def visual_clip(tools: Tools, claim: Claim) -> None:
    """Embed the keyframes of every scene of the job's batch, committing as it goes."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        enabled = owners.clip_enabled(
            tx, owner_id=job.owner_id, default=tools.settings.clip_enabled
        )
    claim.on_stop(tools.models.kill)
    for batch in batches(tools, claim):
        if not enabled:
            _disable(tools, claim, batch)
            continue
        while not _embed(tools, claim, batch):
            log.info("active_space_changed", channel=Channel.VISUAL_CLIP)
    with claim.commit():
        pass


def _disable(tools: Tools, claim: Claim, batch: Sequence[Scene]) -> None:
    """Say that CLIP is off; vectors from before it was go in every space."""
    configured = tools.models.configured
    results = visual_vectors.refused(
        configured.settings, configured.encoders, batch, ChannelStatus.DISABLED, None
    )
    with claim.checkpoint() as tx:
        scenes.set_channels(
            tx, [(one.scene.id, one.state) for one in results], owner_id=claim.job.owner_id
        )
    _measure(results)


def _embed(tools: Tools, claim: Claim, batch: Sequence[Scene]) -> bool:
    """Embed one batch in the active space and in the configured one; False if it must be redone."""
    job = claim.job
    active, *beside = targets(
        tools.models, tools.db, Channel.VISUAL_CLIP, _load, owner_id=job.owner_id
    )
    embedded = [SpaceResults(active.stored, _results(tools, claim, active, batch))]
    for target in beside:
        claim.moved()
        embedded.append(SpaceResults(target.stored, _best_effort(tools, claim, target, batch)))
    failpoint("mid_inference", tools.settings)
    try:
        with claim.checkpoint() as tx:
            store(tx, Channel.VISUAL_CLIP, embedded, owner_id=job.owner_id)
    except SpacesChanged:
        return False
    _measure(embedded[0].results)
    return True


def _load(models: Models) -> EmbeddingSpace:
    return models.encoders.image_space()


def _results(
    tools: Tools, claim: Claim, target: Target, batch: Sequence[Scene]
) -> list[SceneResult]:
    settings, encoders = target.models.settings, target.models.encoders
    if target.problem is not None or target.stored is None:
        return visual_vectors.refused(
            settings, encoders, batch, ChannelStatus.LOAD_ERROR, target.problem
        )
    owner_id = claim.job.owner_id
    with tools.db.transaction(owner_id=owner_id) as tx:
        known = spaces.known_vectors(
            tx,
            owner_id=owner_id,
            space_id=target.stored.id,
            image_hashes=visual_vectors.image_hashes(settings, batch),
            asking=[scene.id for scene in batch],
        )
    return visual_vectors.embed_scenes(
        settings, encoders, tools.storage, batch, known=known, moved=claim.moved
    )


def _best_effort(
    tools: Tools, claim: Claim, target: Target, batch: Sequence[Scene]
) -> list[SceneResult]:
    """As _results, but no failure of a space that nobody searches may hurt the one they do."""
    try:
        return _results(tools, claim, target, batch)
    except ScenebookError as error:
        claim.check()
        log.warning("second_space_failed", space_id=target.stored and target.stored.id)
        return visual_vectors.refused(
            target.models.settings,
            target.models.encoders,
            batch,
            ChannelStatus.ERROR,
            str(error),
        )


def _measure(results: Sequence[SceneResult]) -> None:
    metrics.count_settled(one.state for one in results)
    for one in results:
        time_ms = one.state.metadata.get("inference_time_ms")
        if time_ms is not None:
            metrics.CLIP_SECONDS.observe(time_ms / 1000)

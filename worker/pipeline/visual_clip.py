"""Visual CLIP: one vector for the best frame of each scene, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from scenebook import metrics
from scenebook.db import owners, scenes, spaces
from scenebook.db.spaces import SceneVector
from scenebook.encoders.client import ImageVector
from scenebook.model import Channel, ChannelState, ChannelStatus, Scene
from scenebook.storage import Storage
from worker.pipeline.batches import batches
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.tools import Tools


def visual_clip(tools: Tools, claim: Claim) -> None:
    """Embed the best frame of every scene of the job's batch, committing as it goes."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        enabled = owners.clip_enabled(
            tx, owner_id=job.owner_id, default=tools.settings.clip_enabled
        )
    claim.on_stop(tools.encoders.kill)
    for batch in batches(tools, claim):
        if enabled:
            restarts = tools.encoders.restarts
            vectors = tools.encoders.encode_images([_picture(tools.storage, s) for s in batch])
            metrics.ENCODER_RESTARTS.inc(tools.encoders.restarts - restarts)
        else:
            vectors = [ImageVector(ChannelStatus.DISABLED, None, None, None) for _ in batch]
        failpoint("mid_inference", tools.settings)
        _store(tools, claim, batch, vectors)
    with claim.commit():
        pass


def _picture(storage: Storage, scene: Scene) -> bytes | None:
    """The best frame as JPEG; None if the scene has none, or it is no longer stored."""
    if not scene.keyframes:
        return None
    try:
        return storage.get(scene.keyframes[0].image_key)
    except FileNotFoundError:
        return None


def _store(
    tools: Tools, claim: Claim, batch: Sequence[Scene], vectors: Sequence[ImageVector]
) -> None:
    job = claim.job
    ok = [
        (scene, one.vector)
        for scene, one in zip(batch, vectors, strict=True)
        if one.vector is not None
    ]
    space = tools.encoders.image_space() if ok else None
    states = []
    for scene, one in zip(batch, vectors, strict=True):
        best = scene.keyframes[0] if scene.keyframes else None
        metadata = tools.encoders.image_metadata(
            one,
            frame_path=None if best is None else best.image_key,
            frame_quality=None if best is None else best.quality,
            created_at=datetime.now(UTC),
        )
        states.append(
            (scene.id, ChannelState(Channel.VISUAL_CLIP, one.status, one.error, metadata))
        )
        metrics.SCENE_CHANNELS.labels(Channel.VISUAL_CLIP.value, one.status.value).inc()
        if one.inference_time_ms is not None:
            metrics.CLIP_SECONDS.observe(one.inference_time_ms / 1000)
    with claim.checkpoint() as tx:
        if space is not None:
            spaces.replace_vectors(
                tx,
                owner_id=job.owner_id,
                video_id=job.video_id,
                generation=job.generation,
                space_id=spaces.open_space(tx, space),
                scene_ids=[scene.id for scene in batch],
                vectors=[
                    SceneVector(scene.id, 0, vector, scene.keyframes[0].at_ms)
                    for scene, vector in ok
                ],
            )
        scenes.set_channels(tx, states, owner_id=job.owner_id)

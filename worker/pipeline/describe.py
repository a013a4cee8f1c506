"""Describe: sentences of a vision model about each scene, from its keyframes and its words."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import scenes, spaces
from scenebook.db.queue import Job
from scenebook.descriptions import Budget, DescribedScene, describe_scene
from scenebook.errors import Unavailable
from scenebook.model import Channel, ChannelState, ChannelStatus, Scene
from scenebook.remote import RemoteModels
from scenebook.storage import Storage
from worker.pipeline.batches import batches
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

NOT_LOOKED_AT = frozenset({ChannelStatus.ERROR, ChannelStatus.DISABLED, ChannelStatus.SKIPPED})


def describe(tools: Tools, claim: Claim) -> None:
    """Describe every scene of the job's batch; one that fails does not hurt its neighbours."""
    job = claim.job
    unreachable: str | None = None
    with tools.remote(owner_id=job.owner_id) as models:
        budget = Budget(_share(tools.settings.description_max_calls, job))
        for batch in batches(tools, claim):
            for scene in batch:
                outcome = _described(models, tools.storage, scene, budget)
                if outcome.retryable:
                    unreachable = outcome.error
                with claim.checkpoint() as tx:
                    _store(tx, scene, outcome, owner_id=job.owner_id, token=job.token)
                claim.moved()
    if unreachable is not None and job.attempt < tools.settings.job_max_attempts:
        # What was answered is stored and cached; the rest is worth another try.
        raise Unavailable(unreachable)
    with claim.commit():
        pass


def _share(max_calls: int, job: Job) -> int:
    """This job's part of the calls that the whole video may make."""
    return max_calls * (job.unit + 1) // job.units - max_calls * job.unit // job.units


def _described(
    models: RemoteModels, storage: Storage, scene: Scene, budget: Budget
) -> DescribedScene:
    if not models.available:
        return DescribedScene(ChannelStatus.DISABLED)
    pictures = {}
    for keyframe in scene.keyframes:
        try:
            pictures[keyframe.rank] = storage.get(keyframe.image_key)
        except FileNotFoundError:
            continue
    outcome = describe_scene(models, list(pictures.values()), scene.transcript or "", budget=budget)
    frame = None if outcome.frame is None else list(pictures)[outcome.frame]
    return replace(outcome, frame=frame)


def _store(
    tx: Connection, scene: Scene, outcome: DescribedScene, *, owner_id: UUID, token: int
) -> None:
    """Texts wait for their vectors; a channel without text says why.

    A description that was paid for outlives a later run in which nobody looked at the scene.
    """
    answer = outcome.answer
    if answer is None and outcome.status in NOT_LOOKED_AT and (scene.description or scene.summary):
        return
    texts = {
        Channel.VISUAL: answer.description if answer and answer.status == "ok" else "",
        Channel.SUMMARY: answer.summary if answer else "",
    }
    scenes.set_description(
        tx,
        owner_id=owner_id,
        scene_id=scene.id,
        description=texts[Channel.VISUAL] or None,
        summary=texts[Channel.SUMMARY] or None,
        tags=answer.tags if answer else (),
        token=token,
    )
    before = {Channel.VISUAL: scene.description, Channel.SUMMARY: scene.summary}
    for channel, text in texts.items():
        if before[channel] and before[channel] != text:
            spaces.forget_vectors(tx, owner_id=owner_id, channel=channel, scene_ids=[scene.id])
    without = ChannelStatus.EMPTY if outcome.status is ChannelStatus.OK else outcome.status
    metadata = {} if outcome.frame is None else {"keyframe_rank": outcome.frame}
    states = [
        (
            scene.id,
            ChannelState(channel, ChannelStatus.PENDING, None, metadata)
            if text
            else ChannelState(channel, without, outcome.error, metadata),
        )
        for channel, text in texts.items()
    ]
    scenes.set_channels(tx, states, owner_id=owner_id)

"""Describe: sentences of a vision model about each scene, from its keyframes and its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from scenebook import metrics
from scenebook.db import scenes, spaces
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.db.queue import Job
from scenebook.description_cost import (
    UNUSABLE_ANSWERS,
    NearDuplicates,
    by_worth,
    too_talky,
    unusable_answers,
)
from scenebook.descriptions import CALLS_IN_VAIN, Budget, DescribedScene, describe_scene
from scenebook.errors import Unavailable
from scenebook.model import Channel, ChannelState, ChannelStatus, Scene
from scenebook.remote import RemoteModels
from scenebook.storage import Storage
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

NOT_LOOKED_AT = frozenset({ChannelStatus.ERROR, ChannelStatus.DISABLED, ChannelStatus.SKIPPED})
CHANNELS = (Channel.VISUAL, Channel.SUMMARY)


def describe(tools: Tools, claim: Claim) -> None:
    """Describe the scenes of the job, those with nothing else to be found by first.

    A scene that fails does not hurt the others; each is stored when it is done.
    """
    job = claim.job
    unreachable: str | None = None
    mine = _scenes(tools, job)
    with tools.remote(owner_id=job.owner_id) as models:
        claim.on_stop(models.stop)
        for done, (scene, outcome) in enumerate(_outcomes(tools, models, mine, job)):
            claim.progress(done, len(mine))
            if outcome.retryable:
                unreachable = outcome.error
            with claim.checkpoint() as tx:
                stored = _store(tx, scene, outcome, owner_id=job.owner_id, token=job.token)
            metrics.count_settled(stored)
    claim.progress(len(mine), max(1, len(mine)))
    if unreachable is not None and job.attempt < tools.settings.job_max_attempts:
        # What was answered is stored and cached; the rest is worth another try.
        raise Unavailable(unreachable)
    with claim.commit():
        pass


def _scenes(tools: Tools, job: Job) -> list[Scene]:
    """Every scene of the job: the budget goes to those that need it most, wherever they are."""
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        count = scenes.count(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
        return scenes.of_video(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            indices=job.scenes(count),
        )


def _outcomes(
    tools: Tools, models: RemoteModels, mine: Sequence[Scene], job: Job
) -> Iterator[tuple[Scene, DescribedScene]]:
    """What becomes of each scene, in the order in which calls are spent on them."""
    settings = tools.settings
    budget = _budget(tools, mine, job)
    described = NearDuplicates(settings.description_near_duplicate_bits)
    for scene in by_worth(mine):
        if not models.available:
            outcome = DescribedScene(ChannelStatus.DISABLED)
        elif (reason := too_talky(scene, settings.description_talky_ms)) is not None:
            outcome = DescribedScene(ChannelStatus.SKIPPED, error=reason)
        elif (shared := described.answer_for(scene)) is not None:
            outcome = shared
        else:
            outcome = _asked(models, tools.storage, scene, budget)
            described.add(scene, outcome)
        yield scene, outcome


def _budget(tools: Tools, mine: Sequence[Scene], job: Job) -> Budget:
    """What is left of the job's calls, and the owner's."""
    in_vain = sum(unusable_answers(scene) for scene in mine)
    paid = PaidCallsOf(tools.db, owner_id=job.owner_id)
    return Budget(
        _share(tools.settings.description_max_calls, job) - in_vain,
        per_day=tools.settings.description_max_calls_per_day,
        paid_today=lambda: paid.today("description"),
        patience_s=CALLS_IN_VAIN * tools.settings.openai_timeout_s,
    )


def _share(max_calls: int, job: Job) -> int:
    """This job's part of the calls that the whole video may make."""
    return max_calls * (job.unit + 1) // job.units - max_calls * job.unit // job.units


def _asked(models: RemoteModels, storage: Storage, scene: Scene, budget: Budget) -> DescribedScene:
    """What the model says of a scene's stored pictures; frame is then the rank of one of them."""
    pictures = {}
    for keyframe in scene.keyframes:
        try:
            pictures[keyframe.rank] = storage.get(keyframe.image_key)
        except FileNotFoundError:
            continue
    outcome = describe_scene(models, list(pictures.values()), scene.transcript or "", budget=budget)
    frame = None if outcome.frame is None else list(pictures)[outcome.frame]
    if outcome.status is ChannelStatus.SKIPPED and unusable_answers(scene):
        # Not left out to save a call: its calls were spent in vain.
        outcome = replace(outcome, status=ChannelStatus.ERROR)
    return replace(outcome, frame=frame)


def _store(
    tx: Connection, scene: Scene, outcome: DescribedScene, *, owner_id: UUID, token: int
) -> list[ChannelState]:
    """Texts wait for their vectors; a channel without text says why. What was not said before.

    A description that was paid for outlives a later run in which nobody looked at the scene.
    """
    answer = outcome.answer
    metadata = _metadata(scene, outcome)
    if answer is None and outcome.status in NOT_LOOKED_AT and (scene.description or scene.summary):
        if outcome.unusable:
            kept = [
                (scene.id, replace(state, metadata=state.metadata | metadata))
                for state in scene.channels
                if state.channel in CHANNELS
            ]
            scenes.set_channels(tx, kept, owner_id=owner_id)
        return []
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
    return [state for _, state in states]


def _metadata(scene: Scene, outcome: DescribedScene) -> dict[str, Any]:
    """Which frame was described, whose description it is, and the calls made in vain."""
    told = {
        "keyframe_rank": outcome.frame,
        "same_as_scene": outcome.same_as_scene,
        UNUSABLE_ANSWERS: unusable_answers(scene) + outcome.unusable or None,
    }
    return {name: value for name, value in told.items() if value is not None}

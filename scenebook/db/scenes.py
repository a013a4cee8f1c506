"""Rows of `scenes` and what hangs on them: keyframes, utterances, channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row

from scenebook.db import spaces
from scenebook.db.engine import statement
from scenebook.db.states import set_states
from scenebook.db.values import clean_error, clean_text, to_json
from scenebook.model import (
    Channel,
    ChannelState,
    ChannelStatus,
    Keyframe,
    Scene,
    Stage,
)

# The channels that are undone when a job of the stage fails.
CHANNELS_OF: Mapping[Stage, tuple[Channel, ...]] = {
    Stage.TRANSCRIBE: (Channel.TRANSCRIPT,),
    Stage.VISUAL_CLIP: (Channel.VISUAL_CLIP,),
    Stage.DESCRIBE: (Channel.VISUAL, Channel.SUMMARY),
    Stage.EMBED_TEXT: (Channel.TRANSCRIPT, Channel.VISUAL, Channel.SUMMARY),
}

# A text that waits for its vector may be the same as before.
KEEPS_VECTORS = frozenset({ChannelStatus.OK, ChannelStatus.PENDING})


@dataclass(frozen=True, slots=True)
class NewKeyframe:
    """A keyframe whose picture is stored already."""

    at_ms: int
    rank: int
    quality: Mapping[str, float]
    image_key: str
    image_hash: str
    perceptual_hash: str | None = None


@dataclass(frozen=True, slots=True)
class NewScene:
    """A scene as segmentation found it."""

    start_ms: int
    end_ms: int
    keyframes: Sequence[NewKeyframe]


@dataclass(frozen=True, slots=True)
class ChannelCount:
    """How many scenes of a video have this status in this channel, and one of the reasons."""

    channel: Channel
    status: ChannelStatus
    scenes: int
    error: str | None


def replace_all(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    token: int,
    found: Sequence[NewScene],
) -> None:
    """Write the scene list of one generation anew, with every channel `pending`."""
    whose = {"owner_id": owner_id, "video_id": video_id, "generation": generation}
    tx.execute(statement("scenes/remove_generation"), whose)
    ids = [uuid4() for _ in found]
    if found:
        tx.execute(
            statement("scenes/add"),
            [
                whose
                | {
                    "id": scene_id,
                    "scene_index": index,
                    "start_ms": scene.start_ms,
                    "end_ms": scene.end_ms,
                    "token": token,
                }
                for index, (scene_id, scene) in enumerate(zip(ids, found, strict=True))
            ],
        )
    keyframes = [
        {
            "owner_id": owner_id,
            "scene_id": scene_id,
            "at_ms": keyframe.at_ms,
            "rank": keyframe.rank,
            "quality": to_json(keyframe.quality),
            "image_key": keyframe.image_key,
            "image_hash": keyframe.image_hash,
            "perceptual_hash": keyframe.perceptual_hash,
        }
        for scene_id, scene in zip(ids, found, strict=True)
        for keyframe in scene.keyframes
    ]
    if keyframes:
        tx.execute(statement("scenes/add_keyframe"), keyframes)
    tx.execute(
        statement("scenes/add_channels"), whose | {"channels": [one.value for one in Channel]}
    )


def count(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> int:
    """How many scenes a generation has."""
    return int(
        tx.execute(
            statement("scenes/count"),
            {"owner_id": owner_id, "video_id": video_id, "generation": generation},
        ).scalar_one()
    )


def of_video(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    indices: range | None = None,
) -> list[Scene]:
    """The scenes of one generation in order, with keyframes and channels."""
    rows = tx.execute(
        statement("scenes/select"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "first": None if indices is None else indices.start,
            "last": None if indices is None else indices.stop,
        },
    ).all()
    return _complete(tx, rows, owner_id=owner_id)


def by_ids(tx: Connection, *, owner_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Scene]:
    """The owner's scenes among these ids, with keyframes and channels."""
    rows = tx.execute(
        statement("scenes/select_some"), {"owner_id": owner_id, "ids": list(ids)}
    ).all()
    return {scene.id: scene for scene in _complete(tx, rows, owner_id=owner_id)}


def keyframe(tx: Connection, *, owner_id: UUID, keyframe_id: UUID) -> Keyframe | None:
    """The owner's keyframe with this id, unless its video is being deleted."""
    row = tx.execute(
        statement("scenes/find_keyframe"), {"owner_id": owner_id, "keyframe_id": keyframe_id}
    ).one_or_none()
    return None if row is None else Keyframe(**row._asdict())


def _complete(tx: Connection, rows: Sequence[Row[Any]], *, owner_id: UUID) -> list[Scene]:
    scenes = [Scene(**(row._asdict() | {"tags": tuple(row.tags)})) for row in rows]
    which = {"owner_id": owner_id, "ids": [scene.id for scene in scenes]}
    keyframes: dict[UUID, list[Keyframe]] = defaultdict(list)
    for row in tx.execute(statement("scenes/select_keyframes"), which):
        keyframes[row.scene_id].append(Keyframe(**row._asdict()))
    channels: dict[UUID, list[ChannelState]] = defaultdict(list)
    for row in tx.execute(statement("scenes/select_channels"), which):
        channels[row.scene_id].append(
            ChannelState(Channel(row.channel), ChannelStatus(row.status), row.error, row.metadata)
        )
    return [
        replace(scene, keyframes=tuple(keyframes[scene.id]), channels=tuple(channels[scene.id]))
        for scene in scenes
    ]


def set_channels(
    tx: Connection, states: Iterable[tuple[UUID, ChannelState]], *, owner_id: UUID
) -> None:
    """Store the status of one channel for each of these scenes.

    A scene that ends without a vector in a channel loses the one it may have from before.
    """
    states = list(states)
    set_states(tx, states, owner_id=owner_id)
    for channel in Channel:
        spaces.forget_vectors(
            tx,
            owner_id=owner_id,
            channel=channel,
            scene_ids=[
                scene_id
                for scene_id, state in states
                if state.channel is channel and state.status not in KEEPS_VECTORS
            ],
        )


def fail_channels(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    stage: Stage,
    unit: int,
    units: int,
    error: str,
) -> list[ChannelState]:
    """Say for every scene of a failed job why its channels have nothing; what was said."""
    scenes = count(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    rows = tx.execute(
        statement("scenes/fail_channels"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "first": scenes * unit // units,
            "last": scenes * (unit + 1) // units,
            "channels": [channel.value for channel in CHANNELS_OF[stage]],
            "error": clean_error(error),
        },
    )
    return [ChannelState(Channel(row.channel), ChannelStatus.ERROR) for row in rows]


def reset_channels(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    channels: Iterable[Channel],
    only: ChannelStatus | None = None,
) -> None:
    """Make these channels `pending` again in every scene, or in those with one status."""
    tx.execute(
        statement("scenes/reset_channels"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "channels": [channel.value for channel in channels],
            "only": only,
        },
    )


def count_channels(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int
) -> list[ChannelCount]:
    """Scenes per channel and status."""
    rows = tx.execute(
        statement("scenes/count_channels"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )
    return [
        ChannelCount(Channel(row.channel), ChannelStatus(row.status), row.scenes, row.error)
        for row in rows
    ]


def set_description(
    tx: Connection,
    *,
    owner_id: UUID,
    scene_id: UUID,
    description: str | None,
    summary: str | None,
    tags: Sequence[str],
    token: int,
) -> None:
    """Store what a vision model wrote about a scene."""
    tx.execute(
        statement("scenes/set_description"),
        {
            "owner_id": owner_id,
            "scene_id": scene_id,
            "description": description and clean_text(description),
            "summary": summary and clean_text(summary),
            "tags": [clean_text(tag) for tag in tags],
            "token": token,
        },
    )


def set_sidecars(
    tx: Connection, sidecars: Mapping[UUID, Mapping[str, Any]], *, owner_id: UUID, token: int
) -> None:
    """Store the document of each scene."""
    values = [
        {"owner_id": owner_id, "scene_id": scene_id, "sidecar": to_json(doc), "token": token}
        for scene_id, doc in sidecars.items()
    ]
    if values:
        tx.execute(statement("scenes/set_sidecar"), values)


def remove_older(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Remove the generations that readers no longer see."""
    whose = {"owner_id": owner_id, "video_id": video_id, "generation": generation}
    tx.execute(statement("scenes/remove_older"), whose)
    tx.execute(statement("scenes/remove_older_utterances"), whose)

"""CLIP vectors of scenes in one space: which keyframes count, and no picture is encoded twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.db.spaces import SceneVector
from scenebook.embedding import SceneResult
from scenebook.encoders.client import Encoders
from scenebook.encoders.images import ImageVector
from scenebook.model import Channel, ChannelState, ChannelStatus, Keyframe, Scene
from scenebook.settings import Settings
from scenebook.storage import Storage

# Keyframes of a scene that CLIP_FRAMES=all and mean look at.
MOST_FRAMES = 3
# A mean of vectors that point apart is shorter; its direction means nothing.
SHORTEST_MEAN = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A keyframe and what became of it; `reused` if another picture's vector stands for it."""

    keyframe: Keyframe
    answer: ImageVector
    reused: bool


def frames_of(settings: Settings, scene: Scene) -> Sequence[Keyframe]:
    """The keyframes of a scene that are embedded, the best frame first."""
    return scene.keyframes[: 1 if settings.clip_frames == "best" else MOST_FRAMES]


def image_hashes(settings: Settings, batch: Sequence[Scene]) -> list[str]:
    """The hashes of all pictures that a batch needs, each once."""
    return list(
        dict.fromkeys(one.image_hash for scene in batch for one in frames_of(settings, scene))
    )


def embed_scenes(
    settings: Settings,
    encoders: Encoders,
    storage: Storage,
    batch: Sequence[Scene],
    *,
    known: Mapping[str, NDArray[np.float32]],
    moved: Callable[[], None] = lambda: None,
) -> list[SceneResult]:
    """A vector (CLIP_FRAMES=all: up to three) or a reason for each scene, in order.

    known holds vectors of the same space and the same owner by image hash (see
    scenebook.db.spaces.known_vectors); those pictures, and second copies in the batch, are not
    encoded. `moved` and what is raised: as for Encoders.encode_images.
    """
    keys = {one.image_hash: one.image_key for scene in batch for one in frames_of(settings, scene)}
    fresh = [image_hash for image_hash in keys if image_hash not in known]
    answers = encoders.encode_images([_picture(storage, keys[one]) for one in fresh], moved=moved)
    encoded = dict(zip(fresh, answers, strict=True))
    told: set[str] = set()
    results = []
    for scene in batch:
        seen = []
        for keyframe in frames_of(settings, scene):
            answer, reused = _answer(keyframe.image_hash, known, encoded, told)
            seen.append(_Seen(keyframe, answer, reused))
        results.append(_result(settings, encoders, scene, seen))
    return results


def refused(
    settings: Settings,
    encoders: Encoders,
    batch: Sequence[Scene],
    status: ChannelStatus,
    why: str | None,
) -> list[SceneResult]:
    """The same reason for every scene; a scene without a keyframe says that, if CLIP is on."""
    answer = ImageVector(status, error=why)
    none = answer if status is ChannelStatus.DISABLED else ImageVector(ChannelStatus.NO_FRAME)
    results = []
    for scene in batch:
        seen = [_Seen(one, answer, False) for one in scene.keyframes[:1]]
        results.append(_result(settings, encoders, scene, seen, without=none))
    return results


def _picture(storage: Storage, key: str) -> bytes | None:
    """A keyframe as JPEG; None if it is no longer stored."""
    try:
        return storage.get(key)
    except FileNotFoundError:
        return None


def _answer(
    image_hash: str,
    known: Mapping[str, NDArray[np.float32]],
    encoded: Mapping[str, ImageVector],
    told: set[str],
) -> tuple[ImageVector, bool]:
    """What is known of a picture; its encoding took time only for the first who asks."""
    if image_hash in known:
        return ImageVector(ChannelStatus.OK, known[image_hash]), True
    answer = encoded[image_hash]
    if image_hash in told and answer.vector is not None:
        return ImageVector(answer.status, answer.vector), True
    told.add(image_hash)
    return answer, False


def _result(
    settings: Settings,
    encoders: Encoders,
    scene: Scene,
    seen: Sequence[_Seen],
    *,
    without: ImageVector | None = None,
) -> SceneResult:
    """The scene is ok if one keyframe is; the best of those is the one that is described."""
    ok = [one for one in seen if one.answer.vector is not None]
    best = next(iter(ok or seen), None)
    answer = best.answer if best else without or ImageVector(ChannelStatus.NO_FRAME)
    metadata = encoders.image_metadata(
        answer,
        frame_path=best.keyframe.image_key if best else None,
        frame_quality=best.keyframe.quality if best else None,
        created_at=datetime.now(UTC),
    )
    if best is not None and best.reused:
        metadata["reused"] = True
    if len(seen) > 1:
        metadata["frames"] = [_frame(one) for one in seen]
    state = ChannelState(Channel.VISUAL_CLIP, answer.status, answer.error, metadata)
    return SceneResult(scene, state, _vectors(settings, scene, ok))


def _frame(one: _Seen) -> dict[str, Any]:
    return {
        "at_ms": one.keyframe.at_ms,
        "rank": one.keyframe.rank,
        "status": one.answer.status.value,
        "error": one.answer.error,
    }


def _vectors(settings: Settings, scene: Scene, ok: Sequence[_Seen]) -> list[SceneVector]:
    """Ordinals count the keyframes that worked, so that a scene that is ok has a vector 0."""
    found = [(one.keyframe.at_ms, one.answer.vector) for one in ok if one.answer.vector is not None]
    if settings.clip_frames == "mean" and len(found) > 1:
        mean = np.mean(np.stack([vector for _, vector in found]), axis=0, dtype=np.float64)
        norm = float(np.linalg.norm(mean))
        if norm > SHORTEST_MEAN:
            return [SceneVector(scene.id, 0, np.asarray(mean / norm, np.float32))]
        found = found[:1]
    return [
        SceneVector(scene.id, ordinal, vector, at_ms)
        for ordinal, (at_ms, vector) in enumerate(found)
    ]

"""What became of scenes in one embedding space, and where that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import spaces, states
from scenebook.db.spaces import SceneVector, StoredSpace
from scenebook.model import Channel, ChannelState, Scene


@dataclass(frozen=True, slots=True, eq=False)
class SceneResult:
    """One channel of one scene in one space: its status, why, and the vectors if it is ok."""

    scene: Scene
    state: ChannelState
    vectors: Sequence[SceneVector] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SpaceResults:
    """The results of a batch in one space; `stored` is None while the channel has no space."""

    stored: StoredSpace | None
    results: Sequence[SceneResult]


class SpacesChanged(Exception):
    """While a batch was encoded, a space became active or was dropped; nothing was stored."""


def store(
    tx: Connection, channel: Channel, embedded: Sequence[SpaceResults], *, owner_id: UUID
) -> None:
    """Write the results of one video's scenes in every space they were made for.

    The status goes where the space stands at this moment: to the scene's channel if it is active,
    beside it if not. Raises SpacesChanged if the active space is not among these, or one of these
    is gone. A scene that was removed meanwhile is left out.
    """
    active = _held(tx, channel, embedded)
    if (active and active.id) not in {one.stored and one.stored.id for one in embedded}:
        raise SpacesChanged
    there = _locked(tx, embedded, owner_id=owner_id)
    for one in embedded:
        _store_one(tx, one, active, there, owner_id=owner_id)


def store_beside(
    tx: Connection, channel: Channel, embedded: SpaceResults, *, owner_id: UUID
) -> bool:
    """Write the results of one video's scenes in one space; whether that is the active one.

    Raises SpacesChanged if the space is gone.
    """
    active = _held(tx, channel, [embedded])
    there = _locked(tx, [embedded], owner_id=owner_id)
    _store_one(tx, embedded, active, there, owner_id=owner_id)
    return active is not None and embedded.stored is not None and embedded.stored.id == active.id


def _held(tx: Connection, channel: Channel, embedded: Sequence[SpaceResults]) -> StoredSpace | None:
    """The active space, which stays it until the transaction ends."""
    spaces.hold(tx, channel)
    there = {one.id: one for one in spaces.all_spaces(tx, channel)}
    if any(one.stored is not None and one.stored.id not in there for one in embedded):
        raise SpacesChanged
    return next((one for one in there.values() if one.is_active), None)


def _locked(tx: Connection, embedded: Sequence[SpaceResults], *, owner_id: UUID) -> set[UUID]:
    ids = {result.scene.id for one in embedded for result in one.results}
    return states.lock(tx, owner_id=owner_id, scene_ids=sorted(ids))


def _store_one(
    tx: Connection,
    embedded: SpaceResults,
    active: StoredSpace | None,
    there: set[UUID],
    *,
    owner_id: UUID,
) -> None:
    stored = embedded.stored
    results = [one for one in embedded.results if one.scene.id in there]
    if not results:
        return
    if stored is not None:
        spaces.replace_vectors(
            tx,
            owner_id=owner_id,
            video_id=results[0].scene.video_id,
            generation=results[0].scene.generation,
            space_id=stored.id,
            scene_ids=[one.scene.id for one in results],
            vectors=[vector for one in results for vector in one.vectors],
        )
    if stored is None or (active is not None and stored.id == active.id):
        states.set_states(tx, [(one.scene.id, one.state) for one in results], owner_id=owner_id)
    else:
        spaces.set_states(
            tx,
            {one.scene.id: one.state for one in results},
            owner_id=owner_id,
            space_id=stored.id,
        )

"""Embedding spaces as an operator changes them: list, activate, roll back, drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Connection

from scenebook.db import owners, space_changes, spaces, videos
from scenebook.db.engine import Database, become
from scenebook.db.space_changes import Standing
from scenebook.db.spaces import StoredSpace
from scenebook.errors import Conflict, InvalidInput, NotFound
from scenebook.model import Channel
from scenebook.settling import settle_again

log = structlog.get_logger(__name__)

# Scenes whose vectors are removed in one transaction.
DROPPED_AT_ONCE = 1000

# Told how many of how many videos, or owners, are done.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who may change spaces: writes each owner's rows as a worker, lists the owners as the relay.

    No role but the relay's sees all owners, and none sees the content of two.
    """

    db: Database
    relay: Database

    def owner_ids(self) -> list[UUID]:
        """Every owner of the deployment."""
        with self.relay.across_owners() as tx:
            return owners.everyone(tx)


@dataclass(frozen=True, slots=True)
class SpaceReport:
    """A space and how the scenes of all owners stand in it."""

    stored: StoredSpace
    standing: Standing


@dataclass(frozen=True, slots=True)
class Change:
    """What searches asked before and what they ask from here on."""

    before: StoredSpace | None
    after: StoredSpace
    standing: Standing


def list_spaces(operator: Operator, channel: Channel | None = None) -> list[SpaceReport]:
    """Every space, by channel and age, with totals over all owners."""
    everyone = operator.owner_ids()
    with operator.db.across_owners() as tx:
        return [
            SpaceReport(stored, _standing(tx, stored, everyone))
            for stored in spaces.all_spaces(tx, channel)
        ]


def space_for(
    operator: Operator, *, space_id: int | None, channel: Channel | None, among: Sequence[str]
) -> StoredSpace:
    """The space that an id names, or the only one of a channel with one of these statuses."""
    with operator.db.across_owners() as tx:
        if space_id is not None:
            return _known(tx, space_id, channel)
        if channel is None:
            raise InvalidInput(
                "Name a space by its id, or a --channel. `scenebook spaces list` shows."
            )
        fitting = [one for one in spaces.all_spaces(tx, channel) if one.status in among]
    if len(fitting) == 1:
        return fitting[0]
    ids = ", ".join(str(one.id) for one in fitting) or "none"
    raise InvalidInput(
        f"Spaces of {channel} that are {' or '.join(among)}: {ids}. Name one by its id."
    )


def activate(
    operator: Operator, *, space_id: int, force: bool = False, on_progress: OnProgress | None = None
) -> Change:
    """Make searches ask this space; statuses of scenes follow it in the same transaction.

    Raises Conflict while scenes that are found in the active space would be lost, unless `force`.
    Indexing and backfills of the channel wait meanwhile. Activating the active space again mends
    what an interrupted activation left to do.
    """
    with operator.db.across_owners() as tx:
        wanted = _known(tx, space_id)
        channel = wanted.space.channel
        spaces.hold_alone(tx, channel)
        wanted, before = _known(tx, space_id), spaces.active_space(tx, channel)
        # Listed under the lock: whoever comes later has not written a vector yet.
        everyone = operator.owner_ids()
        standing = _standing(tx, wanted, everyone)
        if not wanted.is_active:
            if not force:
                _refuse_losses(wanted, standing)
            _swap(tx, before, wanted, everyone)
        after = _known(tx, space_id)
    log.info("space_activated", channel=channel, space_id=space_id, missing=standing.missing)
    _settle(operator, everyone, on_progress)
    return Change(before, after, standing)


def previous_space(operator: Operator, channel: Channel) -> StoredSpace:
    """The space that was active before the one that is. Raises NotFound if there is none."""
    with operator.db.across_owners() as tx:
        retired = [one for one in spaces.all_spaces(tx, channel) if one.retired_at is not None]
    if not retired:
        raise NotFound(f"No space of {channel} was active before this one.")
    return max(retired, key=lambda one: (one.retired_at or one.created_at, one.id))


def rollback(
    operator: Operator,
    *,
    channel: Channel,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Change:
    """Make the previously active space the active one again; as `activate`."""
    previous = previous_space(operator, channel)
    return activate(operator, space_id=previous.id, force=force, on_progress=on_progress)


def drop(operator: Operator, *, space_id: int, on_progress: OnProgress | None = None) -> int:
    """Remove a space with its vectors, part by part; returns how many vectors.

    Raises Conflict for the active space. A drop that was interrupted is done again from where it
    stopped; a worker that has the space's model configured opens it anew.
    """
    with operator.db.across_owners() as tx:
        stored = _droppable(tx, space_id)
    removed, everyone = 0, operator.owner_ids()
    for done, owner_id in enumerate(everyone):
        removed += _remove_all(operator, owner_id, space_id)
        if on_progress is not None:
            on_progress(done + 1, len(everyone))
    with operator.db.across_owners() as tx:
        spaces.hold_alone(tx, stored.space.channel)
        _droppable(tx, space_id)
        for owner_id in operator.owner_ids():  # what was written since
            become(tx, owner_id=owner_id)
            while part := _remove_part(tx, owner_id, space_id):
                removed += part
        space_changes.remove(tx, space_id=space_id)
    log.info("space_dropped", channel=stored.space.channel, space_id=space_id, vectors=removed)
    return removed


def _known(tx: Connection, space_id: int, channel: Channel | None = None) -> StoredSpace:
    stored = spaces.get_space(tx, space_id)
    if stored is None:
        raise NotFound(f"There is no space {space_id}. `scenebook spaces list` shows them.")
    if channel is not None and stored.space.channel is not channel:
        raise InvalidInput(f"Space {space_id} belongs to {stored.space.channel}, not {channel}.")
    return stored


def _droppable(tx: Connection, space_id: int) -> StoredSpace:
    stored = _known(tx, space_id)
    if stored.is_active:
        raise Conflict(f"Space {space_id} is the active one. Activate another one first.")
    return stored


def _standing(tx: Connection, stored: StoredSpace, everyone: Sequence[UUID]) -> Standing:
    total = Standing()
    for owner_id in everyone:
        become(tx, owner_id=owner_id)
        total += space_changes.standing(tx, owner_id=owner_id, stored=stored)
    return total


def _refuse_losses(wanted: StoredSpace, standing: Standing) -> None:
    channel = wanted.space.channel
    backfill = f"`scenebook backfill --channel {channel} --space {wanted.id} --all-owners"
    if standing.missing:
        raise Conflict(
            f"{standing.missing} scenes that are found in {channel} have no vector in space "
            f"{wanted.id} yet. Run {backfill}`, or lose them with --force."
        )
    if standing.failed:
        raise Conflict(
            f"{standing.failed} scenes that are found in {channel} could not be embedded in space "
            f"{wanted.id}; each has its reason. Run {backfill} --retry-failed`, or lose them with "
            "--force."
        )


def _swap(
    tx: Connection, before: StoredSpace | None, wanted: StoredSpace, everyone: Sequence[UUID]
) -> None:
    channel = wanted.space.channel
    old_id = None if before is None else before.id
    for owner_id in everyone:
        become(tx, owner_id=owner_id)
        space_changes.swap_states(
            tx,
            owner_id=owner_id,
            channel=channel,
            old_id=old_id,
            new_id=wanted.id,
            why_missing=(
                f"Not embedded with {wanted.space.model} yet; `scenebook backfill --channel "
                f"{channel} --space {wanted.id}` does it."
            ),
        )
    space_changes.switch(tx, old_id=old_id, new_id=wanted.id)


def _settle(operator: Operator, everyone: Sequence[UUID], on_progress: OnProgress | None) -> None:
    """Bring videos and sidecars in line, one video a transaction: nobody waits for all of them."""
    todo = []
    for owner_id in everyone:
        with operator.db.transaction(owner_id=owner_id) as tx:
            todo += [(owner_id, video) for video in videos.on_channels(tx, owner_id=owner_id)]
    for done, (owner_id, video_id) in enumerate(todo):
        with operator.db.transaction(owner_id=owner_id) as tx:
            settle_again(tx, owner_id=owner_id, video_id=video_id)
        if on_progress is not None:
            on_progress(done + 1, len(todo))


def _remove_all(operator: Operator, owner_id: UUID, space_id: int) -> int:
    removed = 0
    while True:
        with operator.db.transaction(owner_id=owner_id) as tx:
            part = _remove_part(tx, owner_id, space_id)
        if not part:
            return removed
        removed += part


def _remove_part(tx: Connection, owner_id: UUID, space_id: int) -> int:
    return space_changes.remove_some(tx, owner_id=owner_id, space_id=space_id, most=DROPPED_AT_ONCE)

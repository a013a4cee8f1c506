"""Coverage: how much a search of an owner looks through, and what it cannot see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import spaces
from scenebook.db.engine import Database, statement
from scenebook.db.spaces import StoredSpace
from scenebook.model import Channel, SearchChannel


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the owner has: videos, those among them that are not settled, and visible scenes.

    with_channel: how many of the scenes each channel can find; pending: how many may follow.
    """

    videos: int
    unsettled: int
    scenes: int
    with_channel: Mapping[SearchChannel, int]
    pending: Mapping[SearchChannel, int]


def coverage_of(db: Database, *, owner_id: UUID) -> Coverage:
    """What a search of the owner looks through, now."""
    with db.transaction(owner_id=owner_id) as tx:
        pool = tx.execute(statement("search/pool"), {"owner_id": owner_id}).one()
        rows = tx.execute(statement("search/coverage"), {"owner_id": owner_id}).all()
    found = {SearchChannel(row.channel): row.ok for row in rows}
    return Coverage(
        videos=pool.videos,
        unsettled=pool.unsettled,
        scenes=pool.scenes,
        with_channel={one: found.get(one, 0) for one in SearchChannel}
        | {SearchChannel.LEXICAL: pool.with_words},
        pending={SearchChannel(row.channel): row.pending for row in rows if row.pending},
    )


def unseen(
    tx: Connection, channels: Sequence[Channel], known: Sequence[StoredSpace], *, owner_id: UUID
) -> dict[str, str]:
    """The channels in which scenes of the owner cannot be found, and why; known: every space."""
    spaces_of = Counter(one.space.channel for one in known)
    active = {one.space.channel: one for one in known if one.is_active}
    missing: dict[str, str] = {}
    for channel in channels:
        if channel not in active:
            missing[channel] = nothing_embedded(channel)
            continue
        if spaces_of[channel] == 1:  # nothing can be embedded elsewhere
            continue
        stored = active[channel]
        elsewhere = spaces.count_elsewhere(
            tx, owner_id=owner_id, channel=channel, space_id=stored.id
        )
        if elsewhere:
            missing[channel] = (
                f"{elsewhere} scenes are embedded with another model than {stored.space.model}; "
                f"`scenebook backfill --channel {channel} --space {stored.id}` embeds them with it."
            )
    return missing


def nothing_embedded(channel: str) -> str:
    """Why a channel without an active space cannot answer."""
    return f"Nothing is embedded in {channel} yet."

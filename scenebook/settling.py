"""The honest status of a video whose work is done, and sidecars that say how its channels stand.

Nothing else makes a video `ready`, `partial` or `failed`: whoever is to be told hears of it here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import queue, scenes, states, videos
from scenebook.db.scenes import ChannelCount
from scenebook.model import COMPLETE, Stage, Video, VideoStatus
from scenebook.webhooks import announce

# What of a video depends on its channels alone.
ON_CHANNELS = (VideoStatus.READY, VideoStatus.PARTIAL)


def settled(video: Video, counts: Sequence[ChannelCount]) -> tuple[VideoStatus, str | None]:
    """`ready` only if every channel of every scene has all it can have; else `partial`, and why."""
    reasons = [] if video.damage is None else [video.damage]
    missing: Counter[tuple[str, str]] = Counter()
    why: dict[tuple[str, str], str | None] = {}
    for one in counts:
        if one.status not in COMPLETE:
            missing[one.channel, one.status] += one.scenes
            why[one.channel, one.status] = one.error
    total = sum(one.scenes for one in counts if one.channel == counts[0].channel)
    for (channel, status), scenes_missing in sorted(missing.items()):
        detail = f": {why[channel, status]}" if why[channel, status] else ""
        reasons.append(f"{channel} is {status} in {scenes_missing} of {total} scenes{detail}")
    if not reasons:
        return VideoStatus.READY, None
    return VideoStatus.PARTIAL, " ".join(reason.rstrip(".") + "." for reason in reasons)


def finish(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Show readers this generation, whose jobs are done, with the status that it deserves."""
    video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    counts = scenes.count_channels(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    status, reason = settled(video, counts)
    if videos.finish(
        tx,
        owner_id=owner_id,
        video_id=video_id,
        generation=generation,
        status=status,
        reason=reason,
    ):
        announce(tx, owner_id=owner_id, video_id=video_id)


def fail(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int, stage: Stage, reason: str
) -> None:
    """Nothing of this generation can be searched; an earlier one can still be."""
    if videos.fail(
        tx,
        owner_id=owner_id,
        video_id=video_id,
        generation=generation,
        stage=stage,
        reason=reason,
    ):
        announce(tx, owner_id=owner_id, video_id=video_id)


def settle_again(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """Bring status and sidecars of a `ready` or `partial` video in line with its channels.

    A video in another state is left to its own jobs. It is news only if the status changes: the
    reason alone does with every batch of a backfill.
    """
    if not queue.lock_video(tx, owner_id=owner_id, video_id=video_id):
        return
    video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    if video.status not in ON_CHANNELS:
        return
    generation = video.generation
    states.refresh_sidecars(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    counts = scenes.count_channels(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    status, reason = settled(video, counts)
    if (status, reason) != (video.status, video.reason):
        videos.finish(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            generation=generation,
            status=status,
            reason=reason,
        )
    if status is not video.status:
        announce(tx, owner_id=owner_id, video_id=video_id)

"""Where a video stands: its stages, its channels, and the time that is likely left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from scenebook.db import scenes, videos
from scenebook.db.engine import Database, statement
from scenebook.model import SETTLED, Channel, ChannelStatus, JobState, Stage, VideoStatus

# Share of the whole work, for the estimate of what is left; decoding dominates.
WEIGHT: Mapping[Stage, float] = {
    Stage.PROBE: 0.02,
    Stage.SEGMENT: 0.5,
    Stage.TRANSCRIBE: 0.15,
    Stage.VISUAL_CLIP: 0.15,
    Stage.DESCRIBE: 0.08,
    Stage.EMBED_TEXT: 0.08,
    Stage.FINALIZE: 0.02,
}

SEARCHABLE = frozenset({VideoStatus.READY, VideoStatus.PARTIAL})


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far one stage is: scenes or other units, done of total."""

    stage: Stage
    state: JobState
    done: int
    total: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """Where a video stands: its stages, its channels, and the seconds that are likely left.

    channel_counts are of the generation worked on last; scene_count and coverage (scenes with a
    vector, by channel) of the one that readers see. stage is what is done or comes next, None when
    settled; progress the share of the whole work that is done, 0 to 1.
    """

    status: VideoStatus
    stages: tuple[StageProgress, ...]
    eta_s: float | None
    channel_counts: Mapping[Channel, Mapping[ChannelStatus, int]]
    reason: str | None
    stage: Stage | None
    progress: float
    scene_count: int
    coverage: Mapping[Channel, int]


def progress_of(db: Database, *, owner_id: UUID, video_id: UUID) -> VideoProgress:
    """Where a video stands."""
    with db.transaction(owner_id=owner_id, one_moment=True) as tx:
        video = videos.get(tx, owner_id=owner_id, video_id=video_id)
        generation = videos.current_generation(tx, owner_id=owner_id, video_id=video_id)
        rows = tx.execute(
            statement("jobs/stages"),
            {"owner_id": owner_id, "video_id": video_id, "generation": generation},
        ).all()
        counts = scenes.count_channels(
            tx, owner_id=owner_id, video_id=video_id, generation=generation
        )
        seen = counts
        if video.generation != generation:
            seen = scenes.count_channels(
                tx, owner_id=owner_id, video_id=video_id, generation=video.generation
            )
    stages = _stages(rows)
    channels: dict[Channel, dict[ChannelStatus, int]] = defaultdict(dict)
    for one in counts:
        channels[one.channel][one.status] = one.scenes
    settled = video.status in SETTLED
    # How fast a URL is fetched says nothing about the work that follows.
    starts = [row.started_at for row in rows if row.started_at and row.stage in WEIGHT]
    return VideoProgress(
        status=video.status,
        stages=stages,
        eta_s=_eta_s(stages, min(starts)) if starts and not settled else None,
        channel_counts=channels,
        reason=video.reason,
        stage=None if settled else _current(stages),
        progress=1.0 if video.status in SEARCHABLE else _share_done(stages),
        scene_count=video.scene_count,
        coverage=dict.fromkeys(Channel, 0)
        | {one.channel: one.scenes for one in seen if one.status is ChannelStatus.OK},
    )


def _stages(rows: Sequence[Row[Any]]) -> tuple[StageProgress, ...]:
    by_stage = {Stage(row.stage): row for row in rows}
    return tuple(
        StageProgress(
            stage=stage,
            state=_state(by_stage[stage]),
            done=int(by_stage[stage].done or 0),
            total=int(by_stage[stage].total or 1),
            error=by_stage[stage].error,
        )
        for stage in Stage
        if stage in by_stage
    )


def _current(stages: tuple[StageProgress, ...]) -> Stage | None:
    """The first stage that runs, else the first that waits."""
    for states in ((JobState.RUNNING,), (JobState.QUEUED, JobState.RETRYABLE)):
        for one in stages:
            if one.state in states:
                return one.stage
    return None


def _state(row: Row[Any]) -> JobState:
    """The state of a stage from the counts of its jobs."""
    if row.jobs == row.finished:
        return JobState.FAILED if row.failed else JobState.SUCCEEDED
    if row.running:
        return JobState.RUNNING
    return JobState.RETRYABLE if row.retrying else JobState.QUEUED


def _eta_s(stages: tuple[StageProgress, ...], started_at: datetime) -> float | None:
    """Seconds left if the rest goes as fast as what is done; None before there is a basis."""
    done = _share_done(stages)
    elapsed = (datetime.now(UTC) - started_at).total_seconds()
    return elapsed * (1 - done) / done if done > 0.02 else None


def _share_done(stages: tuple[StageProgress, ...]) -> float:
    done = sum(WEIGHT.get(one.stage, 0) * one.done / max(1, one.total) for one in stages)
    return min(1.0, done)

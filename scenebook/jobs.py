"""The to-do list: which stage follows which, and what starts, stops and repeats them.

    queued --claim--> running --succeed--> succeeded
      ^                 |  |--error worth retrying--> retryable --run_at--> (claim)
      |                 |  |--any other error, or attempts used up--> failed
      |                 |  |--cancel seen at the heartbeat--> cancelled
      |                 '--lease expired (sweep): crash_count + 1--> retryable | failed
      '--hand back (SIGTERM, postpone): the attempt is refunded

Lock order everywhere: the video, then the job. Only Postgres' clock is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from sqlalchemy import Connection

from scenebook import tracing
from scenebook.db import queue, scenes, videos
from scenebook.db.engine import statement
from scenebook.model import Stage, VideoStatus

log = structlog.get_logger(__name__)

# A stage starts when every stage it follows is finished, whether it succeeded or not.
FOLLOWS: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.FETCH: (),  # of imports only; an upload begins with its probe
    Stage.PROBE: (Stage.FETCH,),
    Stage.SEGMENT: (Stage.PROBE,),
    Stage.TRANSCRIBE: (Stage.SEGMENT,),
    Stage.VISUAL_CLIP: (Stage.SEGMENT,),
    Stage.DESCRIBE: (Stage.TRANSCRIBE,),
    Stage.EMBED_TEXT: (Stage.DESCRIBE,),
    Stage.FINALIZE: (Stage.VISUAL_CLIP, Stage.EMBED_TEXT),
}
# Without these there is nothing to search; a failure of another stage leaves a partial video.
ESSENTIAL = frozenset({Stage.FETCH, Stage.PROBE, Stage.SEGMENT, Stage.FINALIZE})
IN_BATCHES = frozenset({Stage.VISUAL_CLIP, Stage.DESCRIBE, Stage.EMBED_TEXT})
SCENES_PER_JOB = 16
MAX_JOBS_PER_STAGE = 8


def enqueue(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    stage: Stage,
    units: int = 1,
) -> None:
    """Add the jobs of one stage, in the transaction of whatever causes them."""
    for unit in range(units):
        tx.execute(
            statement("jobs/add"),
            {
                "owner_id": owner_id,
                "video_id": video_id,
                "generation": generation,
                "stage": stage,
                "unit": unit,
                "units": units,
                "priority": 1 if stage is Stage.DELETE else 2,
                "traceparent": tracing.current(),
            },
        )


def advance(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Add every stage whose predecessors are finished. Call with the video locked."""
    rows = tx.execute(
        statement("jobs/stages"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )
    finished = {Stage(row.stage): row.jobs == row.finished for row in rows}
    for stage, before in FOLLOWS.items():
        if stage not in finished and before and all(finished.get(one, False) for one in before):
            units = 1
            if stage in IN_BATCHES:
                count = scenes.count(
                    tx, owner_id=owner_id, video_id=video_id, generation=generation
                )
                units = max(1, min(MAX_JOBS_PER_STAGE, math.ceil(count / SCENES_PER_JOB)))
            enqueue(
                tx,
                owner_id=owner_id,
                video_id=video_id,
                generation=generation,
                stage=stage,
                units=units,
            )


def cancel(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int | None = None,
    except_id: int = 0,
) -> None:
    """End a video's jobs: what has not started at once, what runs at its next heartbeat."""
    tx.execute(
        statement("jobs/cancel"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "except_id": except_id,
        },
    )


def cancel_video(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """Stop indexing a video and leave what is stored."""
    queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
    cancel(tx, owner_id=owner_id, video_id=video_id)
    videos.set_status(tx, owner_id=owner_id, video_id=video_id, status=VideoStatus.CANCELLED)


def restart(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int, stages: Sequence[Stage]
) -> int:
    """Do these stages and all that follow anew; returns how many stages were reset.

    Call with the video locked and no job of it running.
    """
    rows = tx.execute(
        statement("jobs/stages"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )
    # A cancelled stage is finished, but what it should have done is missing.
    again = set(stages) | {Stage(row.stage) for row in rows if row.cancelled}
    for stage, before in FOLLOWS.items():
        if again.intersection(before):
            again.add(stage)
    forget(tx, owner_id=owner_id, video_id=video_id, generation=generation, stages=sorted(again))
    first = next((one for one in (Stage.FETCH, Stage.PROBE) if one in again), None)
    if first is not None:
        enqueue(tx, owner_id=owner_id, video_id=video_id, generation=generation, stage=first)
    advance(tx, owner_id=owner_id, video_id=video_id, generation=generation)
    return len(again)


def forget(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int, stages: Sequence[Stage]
) -> None:
    """Remove the finished jobs of these stages, so that they can be done anew."""
    tx.execute(
        statement("jobs/remove_stages"),
        {
            "owner_id": owner_id,
            "video_id": video_id,
            "generation": generation,
            "stages": [stage.value for stage in stages],
        },
    )

"""The scenes of a job in small batches, so that a long job keeps what it has done."""

from __future__ import annotations

from collections.abc import Iterator

from scenebook.db import scenes
from scenebook.model import Scene
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

# Larger batches buy no speed on a CPU (docs/decisions/0003-inference-child.md), only memory.
SCENES = 16


def batches(tools: Tools, claim: Claim) -> Iterator[list[Scene]]:
    """The scenes of this job, in order, at most SCENES at a time; progress is told between them."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        count = scenes.count(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
    mine = job.scenes(count)
    claim.progress(0, max(1, len(mine)))
    for first in range(mine.start, mine.stop, SCENES):
        indices = range(first, min(first + SCENES, mine.stop))
        with tools.db.transaction(owner_id=job.owner_id) as tx:
            found = scenes.of_video(
                tx,
                owner_id=job.owner_id,
                video_id=job.video_id,
                generation=job.generation,
                indices=indices,
            )
        yield found
        claim.progress(indices.stop - mine.start, max(1, len(mine)))

"""Delete: every file of a video, then every row."""

from __future__ import annotations

from scenebook.db import queue, videos
from scenebook.errors import Postponed
from scenebook.storage import video_prefix
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools


def delete(tools: Tools, claim: Claim) -> None:
    """Files first: a row that outlives its files can be deleted again, an orphan file cannot."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        _, running = queue.open_jobs(
            tx, owner_id=job.owner_id, video_id=job.video_id, except_id=job.id
        )
    if running:
        raise Postponed("Other jobs of the video are still stopping.")
    prefix = video_prefix(owner_id=job.owner_id, video_id=job.video_id)
    tools.storage.delete_prefix(prefix, on_part=claim.moved)
    with claim.commit() as tx:
        videos.remove(tx, owner_id=job.owner_id, video_id=job.video_id)
    # A worker that was paused may have woken up and stored a picture meanwhile.
    tools.storage.delete_prefix(prefix)

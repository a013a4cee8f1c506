"""Probe: what is in the file, and whether it may be decoded at all."""

from __future__ import annotations

from dataclasses import asdict

from scenebook.db import videos
from scenebook.model import Video
from worker.pipeline.claim import Claim
from worker.pipeline.source import fetched
from worker.pipeline.tools import Tools


def probe(tools: Tools, claim: Claim) -> None:
    """Read the container of the source and store what it says."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        video: Video = videos.get(tx, owner_id=job.owner_id, video_id=job.video_id)
    claim.on_stop(tools.media.kill)
    with fetched(tools, claim, video) as source:
        info = tools.media.probe(source)
    with claim.commit() as tx:
        videos.set_media(tx, owner_id=job.owner_id, video_id=job.video_id, columns=asdict(info))

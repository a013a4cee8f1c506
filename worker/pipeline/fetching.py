"""Fetch: the source of an import comes from its URL into the storage."""

from __future__ import annotations

from scenebook.addresses import allowed_hosts
from scenebook.db import imports, videos
from scenebook.errors import InvalidMedia, QuotaExceeded
from scenebook.fetching import Downloaded, download
from scenebook.model import Video
from scenebook.quotas import Limits, within
from scenebook.temporary import private_directory
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools


def fetch(tools: Tools, claim: Claim) -> None:
    """Store what the URL gives, unless the owner has the same bytes as another video.

    Raises InvalidMedia (`duplicate`), QuotaExceeded, and as `scenebook.fetching.download`.
    """
    job, settings = claim.job, tools.settings
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        video = videos.get(tx, owner_id=job.owner_id, video_id=job.video_id)
    if video.source_url is None:
        raise InvalidMedia("This video came from no URL. Upload it again.", code="source_missing")
    with private_directory() as directory:
        path = directory / "source"
        got = download(
            video.source_url,
            path,
            timeout_s=settings.fetch_timeout_s,
            max_bytes=settings.media_max_bytes,
            allow_hosts=allowed_hosts(settings),
            on_part=lambda done, total: claim.progress(done, total or max(1, 2 * done)),
        )
        if got.bytes == 0:
            raise InvalidMedia("The URL gave an empty file.", code="empty_file")
        _refuse_known(tools, video, got)
        tools.storage.put_file(video.source_key, path, on_part=claim.moved)
    limits = Limits.from_settings(settings)
    try:
        with claim.commit() as tx, within(tx, limits, owner_id=job.owner_id):
            stored = imports.fetched(
                tx,
                owner_id=job.owner_id,
                video_id=video.id,
                content_hash=got.content_hash,
                size=got.bytes,
            )
            if not stored:
                raise InvalidMedia("The same video came in meanwhile.", code="duplicate")
    except (InvalidMedia, QuotaExceeded):
        tools.storage.delete(video.source_key)
        raise


def _refuse_known(tools: Tools, video: Video, got: Downloaded) -> None:
    with tools.db.transaction(owner_id=video.owner_id) as tx:
        known = videos.with_hash(tx, owner_id=video.owner_id, content_hash=got.content_hash)
    if known is not None and known.id != video.id:
        raise InvalidMedia(f"This video is stored already as {known.id}.", code="duplicate")

"""The source as a private local copy, for as long as a stage needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenebook.errors import InvalidMedia
from scenebook.model import Video
from scenebook.temporary import private_directory
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools


@contextmanager
def fetched(tools: Tools, claim: Claim, video: Video) -> Iterator[Path]:
    """A copy of the source in a directory of its own; other files may be written beside it.

    Raises InvalidMedia if the source is no longer stored, or is not what was uploaded.
    """
    with private_directory() as directory:
        path = directory / "source"
        try:
            tools.storage.fetch(
                video.source_key, path, expected_hash=video.content_hash, on_part=claim.moved
            )
        except FileNotFoundError:
            raise InvalidMedia(
                "The stored source of this video is gone. Delete the video and upload it again.",
                code="source_missing",
            ) from None
        yield path

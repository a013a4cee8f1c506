"""Quotas: how many bytes and videos an owner may have; they hold for parallel uploads too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import quotas
from scenebook.errors import QuotaExceeded
from scenebook.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow an owner whose row says nothing; None: any number."""

    max_bytes: int | None = None
    max_videos: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """OWNER_MAX_BYTES and OWNER_MAX_VIDEOS."""
        return cls(settings.owner_max_bytes, settings.owner_max_videos)


NO_LIMITS = Limits()


@contextmanager
def within(tx: Connection, limits: Limits, *, owner_id: UUID) -> Iterator[None]:
    """Let the block add to what the owner has, and raise QuotaExceeded if that is too much.

    The owner's row is locked, so that many at once cannot overshoot together. An owner who is past
    a limit that was lowered keeps everything and adds nothing.
    """
    own = quotas.lock(tx, owner_id=owner_id)
    before = quotas.usage(tx, owner_id=owner_id)
    yield
    after = quotas.usage(tx, owner_id=owner_id)
    max_bytes = limits.max_bytes if own.max_bytes is None else own.max_bytes
    max_videos = limits.max_videos if own.max_videos is None else own.max_videos
    if max_bytes is not None and after.bytes > max(max_bytes, before.bytes):
        raise QuotaExceeded(
            f"With this your videos would have {after.bytes} bytes, and {max_bytes} are allowed. "
            "Delete a video, or ask for more."
        )
    if max_videos is not None and after.videos > max(max_videos, before.videos):
        raise QuotaExceeded(
            f"You have {before.videos} videos, and {max_videos} are allowed. Delete one, or ask "
            "for more."
        )

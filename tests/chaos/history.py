"""What the clients were told: the promises that the checker holds the system to."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID


@dataclass
class Promised:
    """A video that the service has acknowledged, and what was asked of it since."""

    owner_id: UUID
    video_id: UUID
    mark: str
    deleted: bool = False
    # A deletion was asked for and its answer never came: both outcomes are right.
    perhaps_deleted: bool = False


@dataclass
class History:
    """Acknowledged effects and what went wrong on the way; threads share it."""

    videos: dict[UUID, Promised] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, owner_id: UUID, video_id: UUID, mark: str) -> None:
        """The service said that this video is accepted; the same file is the same video."""
        with self._lock:
            known = self.videos.setdefault(video_id, Promised(owner_id, video_id, mark))
            if (known.owner_id, known.mark) != (owner_id, mark):
                self.broken.append(f"video {video_id} was given to two uploads")

    def count(self, what: str, error: Exception | None = None) -> None:
        """A request was answered, or was not."""
        with self._lock:
            self.asked[what] += 1
            if error is not None:
                code = getattr(error, "code", type(error).__name__)
                self.failed[f"{what}: {code}"] += 1

    def leak(self, what: str) -> None:
        """Somebody was shown what is not theirs."""
        with self._lock:
            self.leaks.append(what)

    def of(self, owner_id: UUID) -> list[Promised]:
        """An owner's videos, oldest first."""
        with self._lock:
            return [one for one in self.videos.values() if one.owner_id == owner_id]

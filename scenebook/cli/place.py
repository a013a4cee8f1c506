"""What the everyday commands need of wherever they work: this machine's servers, or a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from scenebook.embedded import EmbeddedServices
from scenebook.model import Channel, Scene, SearchChannel, Stage, Video
from scenebook.progress import VideoProgress
from scenebook.settings import Settings
from scenebook.videos import AddedVideo

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import Query, SearchAnswer


class Place(Protocol):
    """One owner's videos. Errors are those of the domain."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    @property
    def own_servers(self) -> EmbeddedServices | None:
        """The embedded servers, if the command started them itself: then nobody else works."""

    def require_workers(self) -> None:
        """Raise ConfigurationError where it is clear that work could not reach a worker."""

    def add(self, path: Path, *, transcript: Path | None, language: str | None) -> AddedVideo:
        """Store a file and put it on the to-do list; language as in `en`."""

    def videos(self, *, title: str = "") -> list[Video]:
        """All videos with this in their title, newest first."""

    def video(self, video_id: UUID) -> Video:
        """One video."""

    def progress(self, video_id: UUID) -> VideoProgress:
        """Where it stands."""

    def pause_s(self, followed: int) -> float:
        """Seconds between two looks at so many videos."""

    def scenes(self, video_id: UUID) -> list[Scene]:
        """Its scenes, in order."""

    def retry(self, video_id: UUID, *, stage: Stage | None, channel: Channel | None) -> bool:
        """Do again what failed, or a stage or channel; False if nothing is to be done."""

    def switched_on(self, video: Video) -> list[Channel]:
        """Channels that were off when it was indexed and are on now, as far as that is known."""

    def cancel(self, video_id: UUID) -> None:
        """Stop indexing it."""

    def delete(self, video_id: UUID) -> None:
        """Hide it, and remove it soon."""

    def suitable(self, query: Query) -> list[SearchChannel]:
        """The channels that a query may be asked where none is named."""

    def search(
        self,
        query: Query,
        *,
        channels: Sequence[SearchChannel] | None,
        limit: int,
        video_id: UUID | None,
        threshold: float | None,
        weights: Mapping[SearchChannel, float],
    ) -> SearchAnswer:
        """Scenes for a query; channels without a weight count 1, and 0 leaves one out."""

    def similar(
        self,
        scene_id: UUID,
        *,
        limit: int,
        video_id: UUID | None,
        other_videos_only: bool,
        threshold: float | None,
    ) -> SearchAnswer:
        """Scenes that look like one of them."""

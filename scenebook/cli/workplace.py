"""Where a command works: its settings with every URL filled in, its owner, database and storage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from scenebook import videos
from scenebook.cli.switched import switched_on
from scenebook.db import migrate, schema
from scenebook.db.engine import Database, Role
from scenebook.embedded import EmbeddedServices, adopt_running
from scenebook.errors import ConfigurationError, Conflict, Unavailable
from scenebook.languages import configuration_of
from scenebook.model import Channel, Scene, SearchChannel, Stage, Video
from scenebook.progress import VideoProgress, progress_of
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import AddedVideo, owner_from

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import Query, SearchAnswer

# How long a command waits for another one that is just starting the embedded servers.
ADOPT_TIMEOUT_S = 20.0
BROKER_TIMEOUT_S = 3.0
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Workplace:
    """The Place on this machine; `own_servers` are the embedded servers that it started itself.

    Where it did, no worker can be running, because a worker lives below `scenebook up`.
    """

    settings: Settings
    owner_id: UUID
    database: Database
    storage: Storage
    own_servers: EmbeddedServices | None

    def require_workers(self) -> None:
        """Raise ConfigurationError unless the broker answers, where the settings name one."""
        require_broker(self.settings)

    def add(self, path: Path, *, transcript: Path | None, language: str | None) -> AddedVideo:
        """Store a file and put it on the to-do list; language as in `en`."""
        return videos.add_video(
            self.database,
            self.storage,
            owner_id=self.owner_id,
            path=path,
            transcript=transcript,
            max_bytes=self.settings.media_max_bytes,
            language=None if language is None else configuration_of(language),
        )

    def videos(self, *, title: str = "") -> list[Video]:
        """All videos with this in their title, newest first."""
        found = videos.list_videos(self.database, owner_id=self.owner_id)
        return [one for one in found if title in one.title]

    def video(self, video_id: UUID) -> Video:
        """One video."""
        return videos.get_video(self.database, owner_id=self.owner_id, video_id=video_id)

    def progress(self, video_id: UUID) -> VideoProgress:
        """Where it stands."""
        return progress_of(self.database, owner_id=self.owner_id, video_id=video_id)

    def pause_s(self, followed: int) -> float:
        """Seconds between two looks."""
        return LOOK_S

    def scenes(self, video_id: UUID) -> list[Scene]:
        """Its scenes, in order."""
        return videos.scenes_of(self.database, owner_id=self.owner_id, video_id=video_id)

    def retry(self, video_id: UUID, *, stage: Stage | None, channel: Channel | None) -> bool:
        """Do again what failed, or a stage or channel; False if nothing is to be done."""
        jobs = videos.retry_video(
            self.database,
            owner_id=self.owner_id,
            video_id=video_id,
            stage=stage,
            channel=channel,
        )
        return jobs > 0

    def switched_on(self, video: Video) -> list[Channel]:
        """Channels that were off when it was indexed and that the settings have on now."""
        return switched_on(self.settings, self.progress(video.id))

    def cancel(self, video_id: UUID) -> None:
        """Stop indexing it."""
        videos.cancel_video(self.database, owner_id=self.owner_id, video_id=video_id)

    def delete(self, video_id: UUID) -> None:
        """Hide it, and remove it soon."""
        videos.delete_video(self.database, owner_id=self.owner_id, video_id=video_id)

    def suitable(self, query: Query) -> list[SearchChannel]:
        """The channels that a query is asked where none is named."""
        from scenebook.cli.searching import suitable

        return suitable(self.settings, query)

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
        from scenebook.cli.searching import search

        (found,) = search(
            self,
            [query],
            channels=channels,
            limit=limit,
            video_id=video_id,
            threshold=threshold,
            weights=weights,
        )
        return found

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
        from scenebook.similar import similar_scenes

        return similar_scenes(
            self.database,
            owner_id=self.owner_id,
            scene_id=scene_id,
            limit=limit,
            video_id=video_id,
            other_videos_only=other_videos_only,
            threshold=threshold,
        )


def require_here(settings: Settings) -> None:
    """Raise ConfigurationError for a command that needs the servers, if they are elsewhere."""
    if settings.scenebook_url is not None:
        raise ConfigurationError(
            "This command works on the service's own machine, and SCENEBOOK_URL names a service "
            "that is reached over HTTP. Run it there, or unset SCENEBOOK_URL to run it here."
        )


@contextmanager
def workplace(settings: Settings, *, owner: str | None) -> Iterator[Workplace]:
    """Connect to DATABASE_URL, or else to the embedded servers, started if nobody runs them.

    Embedded databases are migrated; others are refused with an error if they are not at head.
    """
    require_here(settings)
    with servers(settings) as (filled, own):
        url = filled.database_url
        assert url is not None
        if own is not None:
            migrate.upgrade(url)
        else:
            require_current_schema(url)
        database = Database(url, role=Role.API, pool_size=2)
        try:
            yield Workplace(
                settings=filled,
                owner_id=owner_from(filled.scenebook_owner if owner is None else owner),
                database=database,
                storage=Storage(filled.storage),
                own_servers=own,
            )
        finally:
            database.close()


def require_current_schema(url: str) -> None:
    """Raise Unavailable unless the database is at the newest migration."""
    if not schema.is_at_head(url):
        raise Unavailable("The database is not at the newest schema. Run `scenebook migrate`.")


def require_broker(settings: Settings) -> None:
    """Raise ConfigurationError unless the broker answers, where the settings name one."""
    if settings.redis_url is not None and (reason := why_silent(settings.redis_url)) is not None:
        raise ConfigurationError(
            f"REDIS_URL: the broker does not answer: {reason}. Check the URL, and that it runs."
        )


def why_silent(redis_url: str) -> str | None:
    """Why a broker does not answer within seconds, without its password; None where it does."""
    import redis  # most commands do not need it

    scheme, _, rest = redis_url.partition("://")
    plain = f"unix://{rest}" if scheme == "redis+socket" else redis_url
    limit_s = BROKER_TIMEOUT_S
    try:
        with closing(
            redis.Redis.from_url(plain, socket_timeout=limit_s, socket_connect_timeout=limit_s)
        ) as broker:
            broker.ping()
    except (redis.RedisError, ValueError) as error:
        return str(error).rstrip(".")
    return None


@contextmanager
def servers(settings: Settings) -> Iterator[tuple[Settings, EmbeddedServices | None]]:
    """The settings with the servers' URLs, and the embedded servers if this call started them."""
    if settings.database_url:
        yield settings, None
        return
    deadline = time.monotonic() + ADOPT_TIMEOUT_S
    while True:
        running = adopt_running(settings.scenebook_data_dir)
        if running is not None:
            yield filled_in(settings, running.database_url, running.redis_url), None
            return
        own = EmbeddedServices(settings.scenebook_data_dir)
        try:
            own.start()
            break
        except Conflict:  # another command holds the directory, and may be about to be ready
            if time.monotonic() > deadline:
                raise
    try:
        yield filled_in(settings, own.database_url, own.redis_url), own
    finally:
        own.stop()


def filled_in(settings: Settings, database_url: str, redis_url: str) -> Settings:
    """Settings with these URLs where none were given."""
    return settings.model_copy(
        update={
            "database_url": settings.database_url or database_url,
            "redis_url": settings.redis_url or redis_url,
            "storage_url": settings.storage,
            "scenebook_data_dir": settings.scenebook_data_dir.resolve(),
        }
    )

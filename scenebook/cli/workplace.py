"""Where a command works: its settings with every URL filled in, its owner, database and storage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from uuid import UUID

from scenebook.db import migrate
from scenebook.db.engine import Database, Role
from scenebook.embedded import EmbeddedServices, adopt_running
from scenebook.errors import ConfigurationError, Conflict, Unavailable
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import owner_from

# How long a command waits for another one that is just starting the embedded servers.
ADOPT_TIMEOUT_S = 20.0
BROKER_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a command needs; `own_servers` are the embedded servers that it started itself.

    Where it did, no worker can be running, because a worker lives below `scenebook up`.
    """

    settings: Settings
    owner_id: UUID
    database: Database
    storage: Storage
    own_servers: EmbeddedServices | None


@contextmanager
def workplace(settings: Settings, *, owner: str | None) -> Iterator[Workplace]:
    """Connect to DATABASE_URL, or else to the embedded servers, started if nobody runs them.

    Embedded databases are migrated; others are refused with an error if they are not at head.
    """
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
    if not migrate.is_at_head(url):
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

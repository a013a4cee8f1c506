"""What requests share in one process: database, storage, encoders, signer, limits."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from api.knowledge import Knowledge
from api.limits import Limiter
from api.models import Models
from api.readiness import Inspector
from api.remembered import Callers, Remembered
from api.shares import Shares
from api.streams import Streams
from api.tokens import Tokens
from scenebook.db.engine import Database, Role
from scenebook.db.overview import Coverage
from scenebook.errors import ConfigurationError
from scenebook.operations import operators_of
from scenebook.public_functions import PublicFunctions
from scenebook.query_cache import CachedQueryEncoder
from scenebook.reranking import Reranker
from scenebook.search_log import SearchLog
from scenebook.settings import Settings
from scenebook.short_redis import ShortRedis
from scenebook.signing import Signer, secret_of
from scenebook.storage import Storage
from scenebook.temporary import remove_abandoned
from scenebook.warming import Warming

# Threads beside those of requests that may ask the database: of warming and of the log of searches.
# With a connection for each, nobody waits for one: the pool would not keep to the order of arrival.
BACKGROUND = 3
# Operators are few; what they look at may take a while, and must not keep a connection of requests.
OPERATORS_CONNECTIONS = 2
# The counts of all scenes are as old as this at most.
COVERAGE_FRESH_S = 10


@dataclass
class Services:
    """Made once a process, closed at its end."""

    settings: Settings
    db: Database
    storage: Storage
    signer: Signer
    redis: ShortRedis
    limiter: Limiter
    tokens: Tokens
    callers: Callers
    functions: PublicFunctions
    encoders: CachedQueryEncoder
    reranker: Reranker | None
    warming: Warming
    knowledge: Knowledge
    search_log: SearchLog
    inspector: Inspector
    shares: Shares
    operators: frozenset[UUID]
    across: Database  # of the operator's role: the work of all owners
    coverage: Remembered[str, list[Coverage]] = field(
        default_factory=lambda: Remembered(fresh_s=COVERAGE_FRESH_S)
    )
    streams: Streams = field(default_factory=Streams)
    opened: ExitStack = field(default_factory=ExitStack)

    @staticmethod
    def check(settings: Settings) -> None:
        """Raises ConfigurationError for what would keep the service from starting."""
        Limiter(settings, ShortRedis(None))
        Tokens(settings)
        secret_of(settings)
        operators_of(settings)

    @classmethod
    def make(cls, settings: Settings) -> Services:
        """Connect to everything that the settings name. What is opened later joins `opened`."""
        if settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set. Run `scenebook up`, or set it.")
        remove_abandoned()  # a process that was killed may have left uploads half received
        with ExitStack() as opened:
            db = Database(
                settings.database_url, role=Role.API, pool_size=settings.api_threads + BACKGROUND
            )
            opened.callback(db.close)
            across = Database(
                settings.database_url, role=Role.OPERATOR, pool_size=OPERATORS_CONNECTIONS
            )
            opened.callback(across.close)
            redis = ShortRedis(settings.redis_url)
            opened.callback(redis.close)
            models = Models.start(settings, db, redis)
            opened.callback(models.close)
            search_log = SearchLog(db)
            opened.callback(search_log.close)
            storage = Storage(settings.storage)
            inspector = Inspector(settings.database_url, db, storage, redis, models.warming)
            opened.callback(inspector.close)
            return cls(
                settings=settings,
                db=db,
                storage=storage,
                signer=Signer(secret_of(settings)),
                redis=redis,
                limiter=Limiter(settings, redis),
                tokens=Tokens(settings),
                callers=Callers(),
                functions=PublicFunctions(db),
                encoders=models.encoders,
                reranker=models.reranker,
                warming=models.warming,
                knowledge=Knowledge(db),
                search_log=search_log,
                inspector=inspector,
                shares=Shares(settings),
                operators=operators_of(settings),
                across=across,
                opened=opened.pop_all(),
            )

    def close(self) -> None:
        """Give back what was opened, the last first."""
        self.opened.close()


async def services_of(request: Request) -> Services:
    """The services of the application that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesOf = Annotated[Services, Depends(services_of)]

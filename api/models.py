"""The models that answer requests: those that encode queries, and the one that re-ranks."""

from __future__ import annotations

from dataclasses import dataclass

from scenebook.db.engine import Database
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.query_cache import CachedQueryEncoder
from scenebook.query_encoders import QUERY_LIMIT_S, QueryEncoders
from scenebook.reranking import CrossEncoderReranker
from scenebook.settings import Settings
from scenebook.short_redis import ShortRedis
from scenebook.warming import Warming

# A child that is killed ends its thread's work at once.
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Models:
    """All models of one process, loaded in the background."""

    loaded: QueryEncoders
    encoders: CachedQueryEncoder
    reranker: CrossEncoderReranker | None
    warming: Warming

    @classmethod
    def start(cls, settings: Settings, db: Database, redis: ShortRedis) -> Models:
        """Begin to load the models of the active spaces."""
        loaded = QueryEncoders(
            settings,
            lambda owner_id: PaidCallsOf(db, owner_id=owner_id),
            limit_s=QUERY_LIMIT_S,
        )
        reranker = CrossEncoderReranker(settings) if settings.rerank_model else None
        made = cls(
            loaded=loaded,
            encoders=CachedQueryEncoder(
                loaded, redis, size=settings.query_cache_size, ttl_s=settings.query_cache_ttl_s
            ),
            reranker=reranker,
            warming=Warming(db, loaded, reranker.load if reranker is not None else None),
        )
        made.warming.start()
        return made

    def close(self) -> None:
        """End the children, also while they load; before the database is closed."""
        self.warming.stop()
        self.loaded.close()
        if self.reranker is not None:
            self.reranker.close()
        self.warming.join(JOIN_S)

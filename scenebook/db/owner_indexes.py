"""Indexes of single owners on `scene_embeddings`: made, dropped and looked up by their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scenebook.db import migrate
from scenebook.db.engine import OfTheMoment, statement
from scenebook.errors import ConfigurationError, Unavailable

# What a build should have in memory; beyond the most it goes on, slowly, on disk.
LEAST_MEMORY_MB = 64
MOST_MEMORY_MB = 2048
GRAPH_BYTES = 600  # of a vector's links, roughly
# pgvector's own 64 builds three times as fast, and takes walks twice as wide to find as much.
EF_CONSTRUCTION = 200


@dataclass(frozen=True, slots=True)
class Vectors:
    """How many vectors an owner has in a space, and whether an index of its own finds them."""

    owner_id: UUID
    count: int
    has_index: bool


def vectors_of(tx: Connection, *, owner_id: UUID, space_id: int) -> Vectors:
    """The owner's vectors in a space."""
    row = tx.execute(
        statement("spaces/own_vectors"), {"owner_id": owner_id, "space_id": space_id}
    ).one()
    return Vectors(owner_id, row.vectors, row.has_index)


def index_name(space_id: int, owner_id: UUID) -> str:
    """The name by which scenebook.own_index_rows looks for the index."""
    return f"owner_hnsw_{space_id}_{owner_id.hex}"


@contextmanager
def changing_indexes(url: str) -> Iterator[Connection]:
    """A connection that builds and drops indexes, one process at a time, migrations included.

    url: of a login that owns the tables. Raises ConfigurationError if it does not.
    """
    try:
        with migrate.locked_connection(url) as connection:
            changing = connection.execution_options(isolation_level="AUTOCOMMIT")
            # A build waits for every older transaction, however long that takes.
            changing.execute(text("set lock_timeout = 0; set statement_timeout = 0"))
            yield changing
    except DBAPIError as error:
        said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        reason = said or type(error.orig).__name__
        if isinstance(error, OfTheMoment) and said is None:
            raise Unavailable(
                f"Postgres cannot be reached to change an index: {reason}."
            ) from error
        raise ConfigurationError(
            f"The index was not changed: {reason}. MIGRATIONS_DATABASE_URL must name a login that "
            "owns the tables, and the server needs memory and disk for the build; then run the "
            "command again."
        ) from error


def build(
    changing: Connection, *, owner_id: UUID, space_id: int, dimensions: int, vectors: int
) -> None:
    """Build the index beside readers and writers; what an interrupted build left goes first."""
    name = index_name(space_id, owner_id)
    memory_mb = vectors * (2 * dimensions + GRAPH_BYTES) * 2 // 1_000_000
    memory_mb = min(max(memory_mb, LEAST_MEMORY_MB), MOST_MEMORY_MB)
    changing.execute(text(f"set maintenance_work_mem = '{memory_mb}MB'"))
    drop(changing, name)
    changing.execute(
        text(
            f"create index concurrently {name} on public.scene_embeddings using hnsw"
            f" ((embedding::public.halfvec({dimensions})) public.halfvec_cosine_ops)"
            f" with (ef_construction = {EF_CONSTRUCTION})"
            f" where space_id = {space_id} and owner_id = '{owner_id}'"
        )
    )
    changing.execute(
        text(f"comment on index public.{name} is 'Of one owner; scenebook spaces index'")
    )


def is_valid(changing: Connection, *, owner_id: UUID, space_id: int) -> bool:
    """Whether the owner's index exists and was built to its end."""
    found = changing.execute(
        statement("spaces/own_index_is_valid"), {"name": index_name(space_id, owner_id)}
    )
    return found.scalar_one_or_none() is True


def drop(changing: Connection, name: str) -> None:
    """Drop an index, whole or not, beside readers and writers."""
    changing.execute(text(f"drop index concurrently if exists public.{name}"))


def names(tx: Connection, *, space_id: int) -> list[str]:
    """The names of all owners' indexes in a space, whole or not."""
    found = tx.execute(statement("spaces/own_indexes"), {"space_id": space_id})
    return [row.name for row in found]

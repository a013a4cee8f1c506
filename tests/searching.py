"""Calls of the search functions, as a plain role and by named arguments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from scenebook.db.spaces import StoredSpace
from tests.postgres import session
from tests.rows import NORTH, Direction, literal


def search(
    url: str,
    query: Direction = NORTH,
    *,
    owner: UUID,
    asked: UUID | None = None,
    channel: str = "visual_clip",
    role: str = "authenticated",
    **arguments: Any,
) -> list[dict[str, Any]]:
    """The rows for one caller; `asked` is filter_user_id when it is not the caller."""
    with session(url, role=role, owner=owner) as connection:
        return rows_of(connection, query, owner=asked or owner, channel=channel, **arguments)


def rows_of(
    connection: psycopg.Connection,
    query: Direction | None,
    *,
    owner: UUID | None,
    channel: str = "visual_clip",
    **arguments: Any,
) -> list[dict[str, Any]]:
    """The rows in the connection's own transaction; `None` is passed as null."""
    named = {"match_threshold": -1.0, "filter_user_id": owner} | arguments
    passed = ", ".join(f"{name} => %({name})s" for name in named)
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    cursor.execute(
        f"select * from public.search_scenes_by_{channel}_embedding("
        f"query_embedding => %(query)s::public.vector, {passed})",
        named | {"query": None if query is None else literal(query)},
    )
    return cursor.fetchall()


def found(rows: list[dict[str, Any]]) -> list[UUID]:
    """The scenes, in their order."""
    return [row["scene_id"] for row in rows]


class SameVector:
    """A QueryEncoder without a model: every query has the first direction of its space."""

    def encode_text(self, stored: StoredSpace, text: str) -> NDArray[np.float32]:
        """(dimensions of the space,)"""
        return np.eye(1, stored.space.dimensions, dtype=np.float32)[0]

    def encode_image(self, stored: StoredSpace, image: bytes) -> NDArray[np.float32]:
        """(dimensions of the space,)"""
        return self.encode_text(stored, "")

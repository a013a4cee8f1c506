"""Typed functions for search by words, and the rows of `video_words` that it corrects by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db.engine import statement
from scenebook.db.values import clean_text
from scenebook.errors import InvalidQuery

MAX_QUERY = 2000
# Private characters that stand before and after a matched word in what the database answers.
OPENING, CLOSING = "\ue000", "\ue001"


@dataclass(frozen=True, slots=True)
class WordMatch:
    """A scene that holds the words of a query; text_rank lies between 0 and 1.

    matched_ms is when the line is said that holds the most of them, else the scene's start.
    """

    scene_id: UUID
    video_id: UUID
    scene_index: int
    start_ms: int
    end_ms: int
    text_rank: float
    matched_ms: int


@dataclass(frozen=True, slots=True)
class Highlight:
    """A transcript, and which of its characters match: half-open (start, end) ranges in order."""

    text: str
    ranges: tuple[tuple[int, int], ...]
    matched_ms: int


def search_words(
    tx: Connection,
    *,
    owner_id: UUID,
    text: str,
    limit: int,
    offset: int = 0,
    video_id: UUID | None = None,
    scene_ids: Sequence[UUID] | None = None,
    after: tuple[float, UUID] | None = None,
    as_of: datetime | None = None,
) -> list[WordMatch]:
    """The owner's scenes that hold the words of a query, best first, equal ones by id.

    text: as people type it: words, "phrases", -left out, or. limit: 1 to 1000. scene_ids: among
    these scenes only. after: rank and id of the last row of the page before. as_of: leave out
    scenes that came later. Raises InvalidQuery.
    """
    rank, last = (None, None) if after is None else after
    rows = tx.execute(
        statement("words/search"),
        {
            "owner_id": owner_id,
            "text": checked(text),
            "limit": limit,
            "offset": offset,
            "video_id": video_id,
            "scene_ids": None if scene_ids is None else list(scene_ids),
            "after_text_rank": rank,
            "after_scene_id": last,
            "as_of": as_of,
        },
    )
    return [WordMatch(**row._asdict()) for row in rows]


def highlights(
    tx: Connection, *, owner_id: UUID, text: str, scene_ids: Sequence[UUID]
) -> dict[UUID, Highlight]:
    """The transcripts of the owner's scenes among these, at most 1000, with the words of a query.

    A scene without a transcript is left out; one without the words has no ranges.
    """
    rows = tx.execute(
        statement("words/highlight"),
        {"owner_id": owner_id, "text": checked(text), "scene_ids": list(scene_ids)},
    )
    return {row.scene_id: _highlight(row.highlighted, row.matched_ms) for row in rows}


def corrections(tx: Connection, *, owner_id: UUID, text: str) -> dict[str, list[str]]:
    """Words of a query that none of the owner's videos has, with the owner's words nearest to them.

    Those are searched as well; words in quotes and words left out are taken as they are.
    """
    rows = tx.execute(statement("words/correct"), {"owner_id": owner_id, "text": checked(text)})
    return {row.word: list(row.near) for row in rows}


def replace_all(tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int) -> None:
    """Make the words of one generation those of the video."""
    whose = {"owner_id": owner_id, "video_id": video_id}
    tx.execute(statement("words/remove"), whose)
    tx.execute(statement("words/add"), whose | {"generation": generation})


def checked(text: str) -> str:
    """The query as the database takes it; raises InvalidQuery if it is empty or too long."""
    cleaned = clean_text(text)
    if not cleaned.strip():
        raise InvalidQuery("The query has no words. Type what is said or to be seen.")
    if len(text) > MAX_QUERY:
        raise InvalidQuery(
            f"The query has {len(text)} characters and may have {MAX_QUERY}. Keep the words that "
            "matter."
        )
    return cleaned


def _highlight(highlighted: str, matched_ms: int) -> Highlight:
    """The marks as ranges of the text without them."""
    first, *marked = highlighted.split(OPENING)
    text = first
    ranges = []
    for part in marked:
        word, _, rest = part.partition(CLOSING)
        ranges.append((len(text), len(text) + len(word)))
        text += word + rest
    return Highlight(text, tuple(ranges), matched_ms)

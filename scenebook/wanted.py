"""A search as it was asked, checked: what the steps of a search hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from scenebook.db.hybrid import Filters
from scenebook.errors import ScenebookError
from scenebook.model import Channel, SearchChannel
from scenebook.queries import Grouping, Position, Query
from scenebook.reranking import Reranker

# Words are looked for in every scene of the owner; the other channels do not wait longer for them.
WORDS_S = 3.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search as it was asked, checked."""

    owner_id: UUID
    query: Query
    channels: tuple[SearchChannel, ...]
    weights: Mapping[SearchChannel, float]
    limit: int
    filters: Filters
    video_id: UUID | None
    threshold: float | None
    grouping: Grouping
    after: Position | None
    reranker: Reranker | None
    explain: Callable[[ScenebookError], str]

    @property
    def vector_channels(self) -> list[Channel]:
        """The channels that are asked by a vector."""
        return [Channel(one) for one in self.channels if one is not SearchChannel.LEXICAL]

    @property
    def words_within_s(self) -> float | None:
        """How long words may be looked for where other channels can answer without them."""
        return WORDS_S if self.text is not None and self.vector_channels else None

    def without_words(self) -> Wanted:
        """The same without the lexical channel."""
        rest = tuple(one for one in self.channels if one is not SearchChannel.LEXICAL)
        return replace(self, channels=rest)

    @property
    def whole(self) -> bool:
        """Whether the order is needed as a whole, and not one page of it."""
        return self.reranker is not None or not self.grouping.is_plain

    @property
    def text(self) -> str | None:
        """What the lexical channel is asked, if it is."""
        return self.query.text if SearchChannel.LEXICAL in self.channels else None

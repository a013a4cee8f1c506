"""What searches say of the library as a whole, found out a moment ago at most."""

from __future__ import annotations

from uuid import UUID

from api.remembered import Remembered
from scenebook.coverage import Coverage, coverage_of
from scenebook.db import spaces
from scenebook.db.engine import Database
from scenebook.model import SearchChannel

# Counting a large library takes as long as several searches.
COVERAGE_S = 15.0


class Knowledge:
    """Any thread may ask."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._coverage: Remembered[UUID, Coverage] = Remembered(fresh_s=COVERAGE_S, most=1000)
        self._channels: Remembered[None, frozenset[SearchChannel]] = Remembered()

    def coverage(self, *, owner_id: UUID) -> Coverage:
        """What the owner has, as it was at most 15 s ago."""
        return self._coverage.get(owner_id, lambda: coverage_of(self._db, owner_id=owner_id))

    def channels(self) -> frozenset[SearchChannel]:
        """The channels in which something can be found: those with an active space, and words."""
        return self._channels.get(None, self._ask_channels)

    def _ask_channels(self) -> frozenset[SearchChannel]:
        with self._db.across_owners() as tx:
            active = {
                SearchChannel(one.space.channel) for one in spaces.all_spaces(tx) if one.is_active
            }
        return frozenset(active | {SearchChannel.LEXICAL})

"""Uploads that broke off: whoever sends a source gives signs of life, and what has none goes.

A request may die between any two steps. Until its video waits for its first job nobody was told
that it was taken, so that the row and all objects under its key may be removed.
"""

from __future__ import annotations

import time
from uuid import UUID

import structlog
from sqlalchemy import Connection

from scenebook import jobs
from scenebook.db import arrivals
from scenebook.db.arrivals import Abandoned
from scenebook.db.engine import Database
from scenebook.errors import Conflict
from scenebook.model import Stage
from scenebook.storage import OnPart

log = structlog.get_logger(__name__)

SIGN_EVERY_S = 30.0
# Longer than the storage may be silent about one part.
SILENCE_S = 15 * 60.0
BATCH = 100


def signs_of_life(db: Database, *, owner_id: UUID, video_id: UUID) -> OnPart:
    """Call the result for each part that is stored; it raises Conflict if that is in vain."""
    said_at = float("-inf")

    def on_part() -> None:
        nonlocal said_at
        if time.monotonic() - said_at < SIGN_EVERY_S:
            return
        with db.transaction(owner_id=owner_id) as tx:
            if not arrivals.still_arriving(tx, owner_id=owner_id, video_id=video_id):
                raise gone()
        said_at = time.monotonic()

    return on_part


def gone() -> Conflict:
    """For a source whose video was deleted or given up while it was sent."""
    return Conflict("The video was deleted while its file arrived. Send it again.")


def give_up(db: Database, *, owner_id: UUID, video_id: UUID) -> None:
    """Remove a video whose source does not come, before anybody was told of it."""
    with db.transaction(owner_id=owner_id) as tx:
        if arrivals.give_up(tx, Abandoned(owner_id, video_id), older_s=0):
            _remove_soon(tx, owner_id=owner_id, video_id=video_id)


def _remove_soon(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=0, stage=Stage.DELETE)


def give_up_abandoned(db: Database) -> int:
    """Delete videos whose source never came whole, of all owners; `db` is the relay's."""
    given_up = 0
    with db.across_owners() as tx:
        found = arrivals.abandoned(tx, older_s=SILENCE_S, limit=BATCH)
    for one in found:
        with db.transaction(owner_id=one.owner_id) as tx:
            if not arrivals.give_up(tx, one, older_s=SILENCE_S):
                continue
            _remove_soon(tx, owner_id=one.owner_id, video_id=one.video_id)
        given_up += 1
        log.info("upload_given_up", owner_id=str(one.owner_id), video_id=str(one.video_id))
    return given_up

"""An index of jobs that were given up: the relay counts them, and operators page through them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scenebook.db.migrate import LOCK_TIMEOUT_S

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "jobs_dead_idx"


def upgrade() -> None:
    """Build it while jobs are written; one that an interrupted build left behind is invalid."""
    if op.get_context().as_sql:  # for a database that is empty, in one transaction perhaps
        _build(concurrently=False)
        return
    with op.get_context().autocommit_block():
        op.execute("set lock_timeout = 0")  # a build waits for every older transaction
        _build(concurrently=True)
        op.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")


def _build(*, concurrently: bool) -> None:
    op.drop_index(
        NAME, "jobs", schema="public", if_exists=True, postgresql_concurrently=concurrently
    )
    op.create_index(
        NAME,
        "jobs",
        ["finished_at", "id", "stage"],
        schema="public",
        postgresql_where=sa.text("state = 'failed'"),
        postgresql_concurrently=concurrently,
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(NAME, "jobs", schema="public")

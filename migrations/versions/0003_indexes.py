"""Indexes on tables that may be full: built while they are being written to."""

from __future__ import annotations

from alembic import op

from scenebook.db.migrate import LOCK_TIMEOUT_S

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = {
    # An owner's scenes with the same picture, which need not be encoded twice.
    "keyframes_owner_image_hash_idx": ("keyframes", ["owner_id", "image_hash"]),
    # What an owner has paid for since a moment.
    "paid_calls_owner_kind_idx": ("paid_calls", ["owner_id", "kind", "created_at"]),
}


def upgrade() -> None:
    """Build each index anew: one that an interrupted build left behind is invalid."""
    if op.get_context().as_sql:  # for a database that is empty, in one transaction perhaps
        _build(concurrently=False)
        return
    with op.get_context().autocommit_block():
        op.execute("set lock_timeout = 0")  # a build waits for every older transaction
        _build(concurrently=True)
        op.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")


def _build(*, concurrently: bool) -> None:
    for name, (table, columns) in INDEXES.items():
        op.drop_index(
            name,
            table,
            schema="public",
            if_exists=True,
            postgresql_concurrently=concurrently,
        )
        op.create_index(name, table, columns, schema="public", postgresql_concurrently=concurrently)


def downgrade() -> None:
    """Drop the indexes."""
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table, schema="public")

"""Spaces that can be changed: where their models come from, and the scenes of inactive ones."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what old code can do without: columns with defaults, and one table."""
    run_file("0002_spaces.sql")


def downgrade() -> None:
    """Drop what this revision made; vectors of inactive spaces stay."""
    run_file("0002_spaces.down.sql")

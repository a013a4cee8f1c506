"""What the HTTP service stands on: keys, replays, uploads, webhooks, a log of searches."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what old code can do without: columns with defaults, and tables."""
    run_file("0004_api.sql")


def downgrade() -> None:
    """Drop what this revision made."""
    run_file("0004_api.down.sql")

"""What is on its way: uploads that broke off can be found, and webhooks carry their trace."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what old code can do without: a column that may be null, and a policy."""
    run_file("0006_arrivals.sql")


def downgrade() -> None:
    """Drop what this revision made."""
    run_file("0006_arrivals.down.sql")

"""Operators look at the work of all owners: a role that reads it, and nobody's content."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what old code can do without: a role, its grants and its policies."""
    run_file("0007_operations.role.sql")
    run_file("0007_operations.sql")


def downgrade() -> None:
    """Take back what the role may do; roles belong to the cluster, so it stays."""
    run_file("0007_operations.down.sql")

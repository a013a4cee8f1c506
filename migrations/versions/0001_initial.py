"""The initial schema: tables, roles, grants and policies."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything, on plain Postgres and on Supabase alike."""
    run_file("0001_initial.platform.sql")
    run_file("0001_initial.sql")
    run_file("0001_initial.grants.sql")
    run_file("0001_initial.policies.sql")


def downgrade() -> None:
    """Drop everything this revision made; see the file for what stays."""
    run_file("0001_initial.down.sql")

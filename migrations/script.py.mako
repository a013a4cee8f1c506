"""${message}.

Revision: ${up_revision}, after ${down_revision | comma,n}, made ${create_date}.
"""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Apply the revision."""
    run_file("${up_revision}_name.sql")


def downgrade() -> None:
    """Take the revision back."""
    run_file("${up_revision}_name.down.sql")

"""What is found by its words: the language of scenes, and the words of videos as they are spelt."""

from __future__ import annotations

from scenebook.db.migrate import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Fill the new tables before the short locks; search text must never be without its trigger."""
    run_file("0005_lexical.sql")
    run_file("../functions/fill_search_text.sql")


def downgrade() -> None:
    """Give the column back its expression, and drop what this revision made."""
    run_file("0005_lexical.down.sql")

"""Every SQL block of the documentation runs, in order, against a migrated database."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.rows import a_library, a_space

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "```sql" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_sql_block_of_the_page_runs(page: Path, database_url: str, alice: UUID) -> None:
    blocks = re.findall(r"^```sql\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        a_library(connection, owner=alice, space=a_space(connection))
        answers = [connection.execute(block) for block in blocks]
    selects = [
        answer.rowcount
        for block, answer in zip(blocks, answers, strict=True)
        if block.startswith("select") and "why" not in block
    ]
    assert selects

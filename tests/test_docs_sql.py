"""Every SQL block of the documentation runs, in order, and its selects find something."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.rows import NORTH, a_library, a_space, scenes_with

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "```sql" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_sql_block_of_the_page_runs(page: Path, database_url: str, alice: UUID) -> None:
    blocks = re.findall(r"^```sql\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        space = a_space(connection)
        a_library(connection, owner=alice, space=space)
        scenes_with(connection, [NORTH], owner=alice, space=space)
        connection.execute(
            "insert into public.scene_channels (owner_id, scene_id, channel, status, error)"
            " select owner_id, id, 'transcript', 'timeout', 'Timeout after 2.0s' from public.scenes"
        )
        connection.execute(
            "insert into public.workers (id, kind) values ('a worker', 'worker');"
            "update public.jobs set state = 'failed', finished_at = now(),"
            ' errors = \'[{"code": "crash_loop", "message": "It died."}]\';'
            "insert into public.jobs (owner_id, video_id, generation, stage)"
            " select owner_id, video_id, generation, 'segment' from public.jobs"
        )
        roles = "select rolname from pg_roles"
        before = set(connection.execute(roles).fetchall())
        try:
            for block in blocks:
                answer = connection.execute(block)
                assert answer.rowcount > 0 or not block.startswith("select"), f"no rows:\n{block}"
        finally:  # roles belong to the server, which other tests use too
            for (role,) in set(connection.execute(roles).fetchall()) - before:
                connection.execute(f"drop owned by {role}; drop role {role}")

"""An index that Postgres did not survive building is built anew, and a probe tells a bad one."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest

from scenebook.db import migrate, owner_indexes
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.embedded.process import private_directory
from scenebook.errors import ScenebookError
from tests.rows import a_space, a_video, an_owner

DIMENSIONS = 32
VECTORS = 3000
RUNBOOK = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


@pytest.fixture
def durable() -> Iterator[EmbeddedPostgres]:
    """A server that keeps what it has committed, whatever ends it."""
    home = Path(tempfile.mkdtemp(prefix="scenebook-test-"))
    server = EmbeddedPostgres(home, socket_dir=private_directory(home / "run"))
    server.start()
    yield server
    server.stop()
    shutil.rmtree(home, ignore_errors=True)


def url_of(server: EmbeddedPostgres) -> str:
    return server.url().replace("+psycopg", "", 1)


def kill(server: EmbeddedPostgres) -> None:
    """SIGKILL for the server and all its sessions, as when the power goes."""
    assert server.pid is not None
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=10)


def filled(url: str) -> tuple[UUID, int]:
    """An owner with many vectors in a space."""
    with psycopg.connect(url) as connection:
        space = a_space(connection, dimensions=DIMENSIONS)
        owner = an_owner(connection)
        video = a_video(connection, owner=owner)
        connection.execute(
            "insert into public.scenes (owner_id, video_id, generation, scene_index, start_ms,"
            " end_ms, lease_token) select %s, %s, 1, n, n, n + 1, 1"
            " from generate_series(1, %s) as n",
            (owner, video, VECTORS),
        )
        connection.execute(
            "insert into public.scene_embeddings"
            " (space_id, owner_id, video_id, scene_id, generation, embedding)"
            " select %s, s.owner_id, s.video_id, s.id, 1, public.l2_normalize(("
            "  select array_agg(random() - 0.5 + 0 * d * s.scene_index)"
            "  from generate_series(1, %s) as d)::public.vector)::public.halfvec"
            " from public.scenes as s",
            (space, DIMENSIONS),
        )
    return owner, space


def build(url: str, owner: UUID, space: int) -> bool:
    """Build the owner's index; whether it is valid."""
    with owner_indexes.changing_indexes(url) as changing:
        owner_indexes.build(
            changing, owner_id=owner, space_id=space, dimensions=DIMENSIONS, vectors=VECTORS
        )
        return owner_indexes.is_valid(changing, owner_id=owner, space_id=space)


def validity(url: str, owner: UUID, space: int) -> bool | None:
    """Whether the owner's index is valid; None where there is none."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select indisvalid from pg_index where indexrelid = to_regclass(%s)",
            (f"public.{owner_indexes.index_name(space, owner)}",),
        ).fetchone()
    return None if row is None else bool(row[0])


def probed(url: str, *, ef_search: int) -> list[str]:
    """What the runbook's probe warns of, looking so far around."""
    blocks = re.findall(r"^```sql\n(.*?)^```", RUNBOOK.read_text("utf-8"), re.DOTALL | re.M)
    (probe,) = [block for block in blocks if "hnsw.ef_search" in block]
    said: list[str] = []
    with psycopg.connect(url) as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        connection.execute(probe.replace("ef_search = 200", f"ef_search = {ef_search}").encode())
    return said


@pytest.mark.long
def test_an_index_whose_build_the_server_did_not_survive_is_not_used_and_built_anew(
    durable: EmbeddedPostgres,
) -> None:
    url = url_of(durable)
    migrate.upgrade(url)
    owner, space = filled(url)

    def doomed() -> None:
        with suppress(ScenebookError, psycopg.Error):
            build(url, owner, space)

    building = threading.Thread(target=doomed)
    building.start()
    while validity(url, owner, space) is None:
        time.sleep(0.005)
    kill(durable)
    building.join()
    durable.stop()

    durable.start()
    assert validity(url, owner, space) is not True
    with psycopg.connect(url) as connection:
        kept = connection.execute("select count(*) from public.scene_embeddings").fetchone()
        used = connection.execute(
            "select scenebook.own_index_rows(%s, %s)", (space, owner)
        ).fetchone()
    assert (kept, used) == ((VECTORS,), (None,))  # searches compare every vector

    assert build(url, owner, space)
    assert probed(url, ef_search=200) == []
    (warning,) = probed(url, ef_search=1)
    assert "of what is there" in warning

    kill(durable)  # a finished index outlives it
    durable.stop()
    durable.start()
    assert validity(url, owner, space) is True
    assert probed(url, ef_search=200) == []

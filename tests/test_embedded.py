"""The embedded servers start anywhere, close themselves off and never outlive their owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kombu import Connection
from sqlalchemy import NullPool, create_engine, text

from scenebook.embedded import EmbeddedServices, adopt_running
from scenebook.embedded.postgres import EmbeddedPostgres
from scenebook.errors import Conflict

OWNER = """
import sys, time
from pathlib import Path
from scenebook.embedded import EmbeddedServices
services = EmbeddedServices(Path(sys.argv[1]), durable=False)
services.start()
sys.stderr.write(" ".join(map(str, services.pids)) + "\\n")
sys.stderr.flush()
time.sleep(60)
"""


def ask(url: str, statement: str) -> object:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 20
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    with EmbeddedServices(tmp_path_factory.mktemp("e") / "data", durable=False) as running:
        yield running


def test_postgres_answers_and_knows_vectors(services: EmbeddedServices) -> None:
    ask(services.database_url, "create extension if not exists vector")
    assert ask(services.database_url, "select '[3,4]'::vector <-> '[0,0]'") == 5.0
    assert ask(services.database_url, "select upper('é')") == "É"


def test_redis_carries_a_message_of_celery(services: EmbeddedServices) -> None:
    with Connection(services.redis_url) as connection:
        queue = connection.SimpleQueue("doorbell")
        queue.put([[1], {}, {}], headers={"task": "probe"})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == [[1], {}, {}]


def test_another_command_finds_the_running_servers(services: EmbeddedServices) -> None:
    found = adopt_running(services.data_dir)
    assert found is not None
    assert (found.database_url, found.redis_url) == (services.database_url, services.redis_url)
    assert found.owner_pid == os.getpid()


def test_a_data_directory_has_one_owner(services: EmbeddedServices) -> None:
    with pytest.raises(Conflict, match="Another scenebook is running"):
        EmbeddedServices(services.data_dir).start()
    assert ask(services.database_url, "select 1") == 1


def test_nobody_else_may_enter_the_data(services: EmbeddedServices) -> None:
    home = services.data_dir
    for path in (home, home / "postgres", home / "run", home / "log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_closed_parent_directories_stay_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedServices(closed / "data", durable=False) as running:
        assert ask(running.database_url, "select 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path / ("long" * 40), durable=False) as running:
        assert ask(running.database_url, "select 1") == 1
        assert adopt_running(running.data_dir) is not None


def test_stopping_leaves_nothing_and_the_data_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "data"
    with EmbeddedServices(home, durable=False) as running:
        pids = running.pids
        ask(running.database_url, "create table kept as select 42 as answer")
    assert all(is_gone(pid) for pid in pids)
    assert adopt_running(home) is None
    with EmbeddedServices(home, durable=False) as running:
        assert ask(running.database_url, "select answer from kept") == 42


def test_servers_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stderr=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stderr is not None
        pids = [int(pid) for pid in owner.stderr.readline().split()]
        assert len(pids) == 2
        assert adopt_running(home) is not None
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(*pids)
    assert adopt_running(home) is None
    with EmbeddedServices(home, durable=False) as running:
        assert ask(running.database_url, "select 1") == 1


def test_a_server_left_by_an_earlier_run_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "d"
    with EmbeddedServices(home, durable=False):
        pass
    leftover = EmbeddedPostgres(home, socket_dir=home / "run", durable=False)
    leftover.start()
    pid = leftover.pid
    assert pid is not None
    with EmbeddedServices(home, durable=False) as running:
        wait_until_gone(pid)
        assert ask(running.database_url, "select 1") == 1
    leftover.stop()


def test_an_interrupted_first_start_is_repaired(tmp_path: Path) -> None:
    home = tmp_path / "data"
    half_made = home / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedServices(home, durable=False) as running:
        assert ask(running.database_url, "select 1") == 1

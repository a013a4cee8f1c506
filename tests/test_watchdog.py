"""The watchdog: who is asked to work and does not ends with 70; what is away ends nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
import redis
import structlog

from scenebook.cli.supervisor import Kept, Program
from scenebook.db.engine import Database, Role
from scenebook.errors import ScenebookError
from scenebook.model import VideoStatus
from scenebook.settings import Settings
from tests.brokers import a_broker, client_of
from tests.pipelines import settings_for
from tests.postgres import a_server, make_template
from tests.stack import Stack, environment, free_port, short_leases
from worker import watchdog
from worker.watchdog import Unanswered, patience_s

VIDEO = Path(__file__).parent / "media" / "composite_dev.mp4"
WATCHED = {"watchdog_s": 4.0, "job_republish_s": 0.5}


class Worker:
    """What a look of the watchdog sees of a worker that does nothing at all."""

    def __init__(self, settings: Settings) -> None:
        self.taken = 0
        self.look = Unanswered(settings, name="host:1", received=lambda: self.taken)
        assert settings.database_url is not None
        self._url = settings.database_url
        self.broker = client_of(settings.redis_url)

    def sql(self, statement: str) -> int:
        with psycopg.connect(self._url) as connection:
            return connection.execute(statement).rowcount


@pytest.fixture
def idle(stack: Stack, alice: UUID) -> Worker:
    """A worker with a due job that was rung for, and the ring in the queue."""
    stack.add(VIDEO, owner_id=alice)
    worker = Worker(stack.settings)
    worker.sql("update public.jobs set published_at = now()")
    worker.broker.lpush(watchdog.QUEUE, "a ring")
    return worker


def test_a_ring_for_a_due_job_that_a_free_worker_does_not_claim_is_wrong(idle: Worker) -> None:
    wrong = idle.look()
    assert wrong is not None
    assert wrong.startswith("1 jobs are due, 1 messages wait, 0 were taken")
    idle.broker.delete(watchdog.QUEUE)
    idle.taken += 1  # the ring was heard, but the job is not claimed
    assert idle.look() is not None
    assert idle.look() is None


@pytest.mark.parametrize(
    "state",
    [
        "published_at = null",
        "run_at = now() + interval '1 hour'",
        "cancel_requested = true",
        "state = 'running', lease_until = now(), lease_owner = 'host:1'",
    ],
)
def test_what_is_not_due_or_not_rung_for_or_in_work_is_not_wrong(idle: Worker, state: str) -> None:
    assert idle.sql(f"update public.jobs set {state}") == 1
    assert idle.look() is None


def test_another_workers_job_does_not_hide_that_this_one_is_idle(idle: Worker) -> None:
    idle.sql(
        "update public.jobs set state = 'running', lease_until = now(), lease_owner = 'host:2'"
    )
    assert idle.look() is None
    idle.sql("update public.jobs set state = 'queued', lease_until = null, published_at = now()")
    assert idle.look() is not None


def test_a_claim_since_the_last_look_is_an_answer(idle: Worker) -> None:
    assert idle.look() is not None
    if (pid := os.fork()) == 0:  # as a pool process does, in memory that it shares
        watchdog.claimed()
        os._exit(0)
    os.waitpid(pid, 0)
    assert idle.look() is None
    assert idle.look() is not None


def test_a_broker_or_database_that_is_away_says_nothing_about_the_worker(stack: Stack) -> None:
    nowhere = {"redis_url": f"redis://127.0.0.1:{free_port()}"}
    with pytest.raises(redis.RedisError):
        Worker(stack.settings.model_copy(update=nowhere)).look()
    nowhere = {"database_url": f"postgresql://u@127.0.0.1:{free_port()}/d"}
    with pytest.raises(ScenebookError):
        Worker(stack.settings.model_copy(update=nowhere)).look()


def test_patience_outlasts_several_rings() -> None:
    assert patience_s(Settings()) == 120
    assert patience_s(Settings(watchdog_s=5, job_republish_s=30)) == 120


def test_no_process_is_forked_in_the_middle_of_a_look() -> None:
    program = (
        "import os, time\n"
        "from worker.watchdog import Watchdog\n"
        "looking = False\n"
        "def look():\n"
        "    global looking\n"
        "    looking = True; time.sleep(0.02); looking = False\n"
        "Watchdog(look, patience_s=0.003).start()\n"
        "for _ in range(6):\n"
        "    if (pid := os.fork()) == 0:\n"
        "        os._exit(looking)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    time.sleep(0.003)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_a_worker_that_hears_no_ring_ends_with_70_and_is_started_again(
    stack: Stack, alice: UUID, tmp_path: Path
) -> None:
    (tmp_path / "deaf").touch()
    words = ("-m", "tests.misbehaving_worker", "worker", str(tmp_path))
    worker = _kept(stack, words, tmp_path)
    stack.start_relay(**WATCHED)
    with structlog.testing.capture_logs() as lines:
        worker.check()
        video = stack.add(VIDEO, owner_id=alice)
        stack.wait(lambda: not (tmp_path / "deaf").exists(), "the worker to be deaf")
        assert worker.pid is not None
        first = psutil.Process(worker.pid).children(recursive=True)
        assert first

        def ready() -> bool:
            worker.check()
            return stack.now(video).status is VideoStatus.READY

        try:
            stack.wait(ready, "the video to be ready")
        finally:
            worker.stop()
    ended = [line for line in lines if line["event"] == "program_ended"]
    assert [line["status"] for line in ended] == [70]
    assert psutil.wait_procs(first, timeout=5)[1] == []
    assert '"seen": "1 jobs are due' in (tmp_path / "it.log").read_text()


def test_a_relay_whose_round_hangs_ends_with_70_and_is_started_again(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "stuck").touch()
    relay = _kept(stack, ("-m", "tests.misbehaving_worker", "relay", str(tmp_path)), tmp_path)
    with structlog.testing.capture_logs() as lines:

        def again() -> bool:
            relay.check()
            return relay.restarts > 0 and relay.pid is not None

        try:
            stack.wait(again, "the relay to be started again")
        finally:
            relay.stop()
    ended = [line for line in lines if line["event"] == "program_ended"]
    assert [line["status"] for line in ended] == [70]


def _kept(stack: Stack, words: tuple[str, ...], log_dir: Path) -> Kept:
    """A program as `scenebook up` keeps it."""
    settings = stack.settings.model_copy(update=WATCHED)
    program = Program("it", words, {signal.SIGTERM: 20.0})
    return Kept(program, environment=environment(settings), log_dir=log_dir)


def _rest(worker: subprocess.Popen[bytes], relay: subprocess.Popen[bytes], for_s: float) -> None:
    over = time.monotonic() + for_s
    while time.monotonic() < over:
        assert (worker.poll(), relay.poll()) == (None, None), "something ended"
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_broker_that_is_frozen_and_then_dead_ends_nobody(settings: Settings, alice: UUID) -> None:
    with a_broker() as broker:
        # A ring may hang for as long as the broker's own time bound, which is 10 s.
        short = short_leases(broker.url) | WATCHED | {"watchdog_s": 15.0}
        stack = Stack(settings.model_copy(update=short))
        try:
            worker, relay = stack.start_worker(), stack.start_relay()
            done = stack.settled(stack.add(VIDEO, owner_id=alice))
            assert done.status is VideoStatus.READY
            assert broker.pid is not None
            server = psutil.Process(broker.pid)
            server.suspend()
            stack.add(VIDEO.with_name("figures.mp4"), owner_id=alice)
            _rest(worker, relay, 20)
            server.resume()
            broker.stop()
            _rest(worker, relay, 20)
            broker.start()
            again = stack.settled(stack.add(VIDEO.with_name("figures.mp4"), owner_id=alice))
            assert again.status is VideoStatus.READY
            assert (worker.poll(), relay.poll()) == (None, None)
        finally:
            stack.close()


@pytest.mark.long
def test_a_database_that_is_away_longer_than_the_patience_ends_nobody(
    redis_url: str, tmp_path: Path
) -> None:
    with a_server() as server:
        make_template(server)
        with server.database() as url:
            short = short_leases(redis_url) | WATCHED | {"watchdog_s": 2.0}
            stack = Stack(settings_for(url, tmp_path, **short))
            owner = UUID(int=1)
            try:
                worker, relay = stack.start_worker(), stack.start_relay()
                stack.settled(stack.add(VIDEO, owner_id=owner))
                server.restart(after_s=8)
                _rest(worker, relay, 1)
                Database(url, role=Role.API).close()
                again = stack.settled(stack.add(VIDEO.with_name("figures.mp4"), owner_id=owner))
                assert again.status is VideoStatus.READY
                _rest(worker, relay, 0.2)
            finally:
                stack.close()

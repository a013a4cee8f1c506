"""Faults: whatever is killed, paused or flushed, each scene exists exactly once in the end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
import redis

from scenebook.model import VideoStatus
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server, a_server, make_template
from tests.snapshots import open_jobs, snapshot
from tests.stack import Stack, kill_family, short_leases
from worker.pipeline import failpoints

VIDEO = Path(__file__).parent / "media" / "composite_dev.mp4"
ALICE = uuid4()

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def undisturbed(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What a run without faults stores."""
    with postgres_server.database() as url:
        calm = settings_for(
            url, tmp_path_factory.mktemp("calm"), clip_enabled=True, clip_model_name="fake"
        )
        with a_pipeline(calm) as pipeline:
            video = pipeline.index(VIDEO, owner_id=ALICE)
        return snapshot(url, video.id)


def pool_process(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """The process of a worker that runs jobs."""
    return psutil.Process(worker.pid).children()[0]


@pytest.mark.parametrize("place", failpoints.NAMES)
def test_a_worker_killed_at_a_failpoint_leaves_exactly_the_rows_of_an_undisturbed_run(
    place: str, stack: Stack, alice: UUID, undisturbed: Rows, tmp_path: Path
) -> None:
    armed = tmp_path / place
    armed.touch()
    relay = stack.start_relay(scenebook_failpoints=tmp_path)
    stack.start_worker(scenebook_failpoints=tmp_path)
    video = stack.add(VIDEO, owner_id=alice)
    if place == "between_mark_and_publish":
        relay.wait(timeout=20)
        stack.start_relay()
    video = stack.settled(video)
    assert not armed.exists(), "the failpoint was never reached"
    assert video.status is VideoStatus.READY, video.reason
    assert stack.settings.database_url is not None
    assert snapshot(stack.settings.database_url, video.id) == undisturbed
    assert open_jobs(stack.settings.database_url) == 0


def test_a_whole_worker_that_is_lost_is_replaced_by_another(
    stack: Stack, alice: UUID, undisturbed: Rows, tmp_path: Path
) -> None:
    stack.start_relay()
    first = stack.start_worker()
    video = stack.add(VIDEO, owner_id=alice)
    stack.wait(lambda: stack.now(video).status is VideoStatus.PROCESSING, "the first job")
    kill_family(first)
    stack.start_worker()
    stack.settled(video)
    assert stack.settings.database_url is not None
    assert snapshot(stack.settings.database_url, video.id) == undisturbed


def test_a_worker_paused_beyond_its_lease_writes_nothing_when_it_wakes(
    stack: Stack, alice: UUID, undisturbed: Rows
) -> None:
    stack.start_relay()
    worker = stack.start_worker()
    video = stack.add(VIDEO, owner_id=alice)
    stack.wait(lambda: stack.now(video).status is VideoStatus.PROCESSING, "the first job")
    paused = pool_process(worker)
    paused.send_signal(signal.SIGSTOP)
    stack.start_worker()
    stack.settled(video)
    paused.send_signal(signal.SIGCONT)
    again = stack.settled(stack.add(VIDEO, owner_id=alice))
    assert again.id == video.id
    assert stack.settings.database_url is not None
    assert snapshot(stack.settings.database_url, video.id) == undisturbed


def test_a_flushed_broker_loses_no_video(stack: Stack, alice: UUID, bob: UUID) -> None:
    stack.start_relay()
    videos = [stack.add(VIDEO, owner_id=owner) for owner in (alice, bob)]
    stack.wait(lambda: _published(stack) == 2, "both jobs to be published")
    assert stack.settings.redis_url is not None
    path = stack.settings.redis_url.removeprefix("redis+socket://")
    redis.Redis(unix_socket_path=path).flushall()
    stack.start_worker()
    assert [stack.settled(video).status for video in videos] == [VideoStatus.READY] * 2


def _published(stack: Stack) -> int:
    assert stack.settings.database_url is not None
    with psycopg.connect(stack.settings.database_url) as connection:
        row = connection.execute(
            "select count(*) from public.jobs where published_at is not null"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_sigterm_hands_the_running_job_back_at_once(stack: Stack, alice: UUID) -> None:
    stack.start_relay()
    worker = stack.start_worker()
    video = stack.add(VIDEO, owner_id=alice)
    stack.wait(lambda: stack.now(video).status is VideoStatus.PROCESSING, "the first job")
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=20)
    assert stack.settings.database_url is not None
    with psycopg.connect(stack.settings.database_url) as connection:
        running = connection.execute(
            "select count(*) from public.jobs where state = 'running' or crash_count > 0"
        ).fetchone()
    assert running == (0,)
    stack.start_worker()
    assert stack.settled(video).status is VideoStatus.READY


def test_postgres_that_is_gone_for_five_seconds_costs_nothing_but_time(
    redis_url: str, tmp_path: Path, undisturbed: Rows
) -> None:
    with a_server() as server:
        make_template(server)
        with server.database() as url:
            settings = settings_for(url, tmp_path, **short_leases(redis_url))
            stack = Stack(settings)
            try:
                stack.start_relay()
                stack.start_worker()
                video = stack.add(VIDEO, owner_id=ALICE)
                stack.wait(
                    lambda: stack.now(video).status is VideoStatus.PROCESSING, "the first job"
                )
                server.restart(after_s=5)
                assert stack.settled(video).status is VideoStatus.READY
                assert snapshot(url, video.id) == undisturbed
            finally:
                stack.close()

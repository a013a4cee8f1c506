"""Each line of the Procfile works with nothing but variables, and ends as asked without a loss."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest

from scenebook.db import migrate, schema
from scenebook.embedded.process import last_lines, start_tethered, stop_process
from scenebook.model import Video, VideoStatus
from scenebook.settings import Settings
from tests.deployed import procfile, railway, words_of
from tests.serving import headers_of, with_tokens
from tests.stack import Stack, environment, free_port

MEDIA = Path(__file__).parent / "media"
VIDEO = MEDIA / "figures.mp4"
LONGER = MEDIA / "composite_dev.mp4"
PATIENCE_S = 90
# As configured by default: no lease may help what SIGTERM interrupts.
PATIENT = {"job_lease_s": 60.0, "job_beat_s": 12.0, "log_level": "INFO"}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the shell line of a process, in an empty directory, with these settings alone."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, settings: Settings) -> subprocess.Popen[bytes]:
        home = tmp_path / f"{name}-{len(started)}"
        home.mkdir()
        named = {variable.upper() for variable in settings.model_fields_set}
        variables = {key: value for key, value in environment(settings).items() if key in named}
        variables |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        line = f"cd {home} && {procfile()[name]}"
        with (tmp_path / f"{home.name}.log").open("wb") as log:
            started.append(start_tethered(["/bin/sh", "-c", line], environment=variables, log=log))
        return started[-1]

    yield run
    for process in started:
        stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})


def drained(name: str, process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end: it does with 0, within what Railway gives it, with all its children."""
    family = psutil.Process(process.pid).children(recursive=True)
    seconds: int = railway(f"infra/railway/{name}.toml")["deploy"]["drainingSeconds"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(seconds) == 0
    assert psutil.wait_procs(family, timeout=5)[1] == []


def is_what_the_shell_became(name: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether a signal to the shell's process reaches the program itself."""
    return psutil.Process(process.pid).cmdline()[1:] == words_of(name)[1:]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, last_lines(log)
        assert time.monotonic() < deadline, last_lines(log)
        time.sleep(0.05)


def asked(url: str) -> int:
    """The status of an answer; 0 if nobody listens."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


def test_release_brings_a_database_to_the_newest_schema(
    start: Start, empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url)
    assert migrate.current(empty_database_url) is None
    for _ in range(2):  # as when several services are deployed
        process = start("release", settings)
        assert process.wait(PATIENCE_S) == 0, last_lines(tmp_path / "release-0.log")
    assert schema.is_at_head(empty_database_url)


def test_web_ends_the_request_that_is_open_when_it_is_asked_to_end(
    start: Start, settings: Settings, redis_url: str, tmp_path: Path, alice: UUID, bob: UUID
) -> None:
    port = free_port()
    process = start(
        "web", with_tokens(settings).model_copy(update={"redis_url": redis_url, "port": port})
    )
    url, log = f"http://127.0.0.1:{port}", tmp_path / "web-0.log"
    wait_until(lambda: asked(f"{url}/readyz") == 200, process, log)
    assert is_what_the_shell_became("web", process)

    whole = httpx.Request("POST", f"{url}/v1/videos", files={"file": ("a.mp4", VIDEO.read_bytes())})
    content, half_sent, go_on = whole.read(), threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        half_sent.set()
        go_on.wait(PATIENCE_S)
        yield content[len(content) // 2 :]

    def upload() -> httpx.Response:
        headers = dict(whole.headers) | headers_of(alice)
        return httpx.post(url + "/v1/videos", content=slowly(), headers=headers, timeout=PATIENCE_S)

    with ThreadPoolExecutor(2) as threads:
        answer = threads.submit(upload)
        assert half_sent.wait(PATIENCE_S)
        assert asked(f"{url}/livez") == 200
        ended = threads.submit(drained, "web", process)
        wait_until(lambda: asked(f"{url}/livez") == 0, process, log)  # nobody new is let in
        go_on.set()
        ended.result()
    assert answer.result().status_code == 201, answer.result().text
    counts = "select count(*) filter (where owner_id = %s), count(*) from public.videos"
    assert row(settings, counts, alice) == (1, 1)


def test_relay_rings_and_a_worker_that_is_asked_to_end_leaves_its_job_to_another(
    start: Start, stack: Stack, tmp_path: Path, alice: UUID, bob: UUID
) -> None:
    settings = stack.settings.model_copy(update=PATIENT)
    relay, worker = start("relay", settings), start("worker", settings)
    videos = [stack.add(LONGER, owner_id=alice), stack.add(VIDEO, owner_id=bob)]
    running = "select count(*) > 0 from public.jobs where stage = 'segment' and state = 'running'"
    wait_until(lambda: row(settings, running) == (True,), worker, tmp_path / "worker-1.log")
    for name, process in (("relay", relay), ("worker", worker)):
        assert is_what_the_shell_became(name, process)

    drained("worker", worker)
    left = (
        "select count(*) filter (where state = 'running'), coalesce(sum(crash_count), 0),"
        " coalesce(sum(attempt) filter (where state in ('queued', 'retryable')), 0)"
        " from public.jobs"
    )
    assert row(settings, left) == (0, 0, 0)
    assert not all(ready(stack, video) for video in videos)

    another = start("worker", settings)
    log = tmp_path / "worker-2.log"
    wait_until(lambda: all(ready(stack, video) for video in videos), another, log)
    drained("worker", another)
    drained("relay", relay)


def ready(stack: Stack, video: Video) -> bool:
    """Whether a video, of whichever owner, is ready."""
    return stack.now(video).status is VideoStatus.READY


def row(settings: Settings, query: str, *values: object) -> Any:
    """The one row of a query, as a superuser sees it."""
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(query, values).fetchone()

"""Faults in and around a worker's processes: the worker goes on, and so does everybody's work."""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest

from scenebook.model import SETTLED, Stage, Video, VideoStatus
from scenebook.videos import delete_video
from tests.brokers import client_of
from tests.openai_server import CHAT, Reply, an_openai_server
from tests.stack import Stack, environment, free_port, kill_family
from worker.watchdog import QUEUE

MEDIA = Path(__file__).parent / "media"
VIDEO = MEDIA / "figures.mp4"
LONGER = MEDIA / "composite_dev.mp4"
RESUMED_S = 10


def a_copy(directory: Path, name: str, *, of: Path = VIDEO) -> Path:
    """A video under this name, with bytes of its own."""
    path = directory / f"{name}.mp4"
    shutil.copy(of, path)
    with path.open("ab") as file:
        file.write((8 + len(name)).to_bytes(4, "big") + b"free" + name.encode())
    return path


def first_job(stack: Stack, video: Video) -> tuple[str, int, int, list[str]]:
    """State, attempts, crashes and the codes of the errors of a video's probe."""
    row = _row(
        stack,
        "select state, attempt, crash_count, jsonb_path_query_array(errors, '$[*].code')"
        " from public.jobs where video_id = %s and stage = 'probe'",
        video.id,
    )
    return row[0], row[1], row[2], row[3]


def _row(stack: Stack, query: str, *values: object) -> Any:
    assert stack.settings.database_url is not None
    with psycopg.connect(stack.settings.database_url) as connection:
        row = connection.execute(query, values).fetchone()
    assert row is not None
    return row


def misbehaving(
    stack: Stack, directory: Path, *words: str, kind: str = "worker", **changes: object
) -> Any:
    """The real worker or relay, with faults."""
    return stack.start(
        "-W", "ignore", "-m", "tests.misbehaving_worker", kind, str(directory), *words,
        **changes,
    )  # fmt: skip


def running(stack: Stack, video: Video, stage: Stage) -> bool:
    """Whether a job of this stage is in work."""
    found = _row(
        stack,
        "select count(*) from public.jobs where video_id = %s and stage = %s and state = 'running'",
        video.id,
        stage.value,
    )
    return bool(found[0])


def test_whatever_a_stage_does_to_its_process_the_worker_goes_on(
    stack: Stack, alice: UUID, bob: UUID, tmp_path: Path
) -> None:
    worker = misbehaving(stack, tmp_path, job_max_attempts=2)
    stack.start_relay(job_max_attempts=2)
    raising = ("memory", "deep", "system_exit", "sys_exit")
    poisoned = {
        name: stack.add(a_copy(tmp_path, name), owner_id=alice)
        for name in (*raising, "segfault", "killed")
    }
    for video in poisoned.values():
        assert stack.settled(video).status is VideoStatus.FAILED
    began = time.monotonic()
    good = stack.settled(stack.add(VIDEO, owner_id=bob))
    assert good.status is VideoStatus.READY
    assert time.monotonic() - began <= RESUMED_S
    assert worker.poll() is None
    for name in raising:
        assert first_job(stack, poisoned[name]) == ("failed", 2, 0, ["internal"] * 2), name
    for name in ("segfault", "killed"):
        crashes = ["worker_lost", "worker_lost", "crash_loop"]
        assert first_job(stack, poisoned[name]) == ("failed", 0, 3, crashes), name


@pytest.mark.long
def test_clocks_that_are_wrong_by_an_hour_change_nothing(
    stack: Stack, alice: UUID, tmp_path: Path
) -> None:
    programs = {}
    for kind, off in (("worker", 3600), ("relay", -3600)):
        (directory := tmp_path / kind).mkdir()
        (directory / "clock").write_text(str(off))
        programs[kind] = misbehaving(stack, directory, kind=kind, job_max_crashes=1)
    poison = stack.add(a_copy(tmp_path, "killed"), owner_id=alice)
    video = stack.add(VIDEO, owner_id=alice)
    assert stack.settled(video).status is VideoStatus.READY
    assert stack.settled(poison).status is VideoStatus.FAILED
    assert first_job(stack, poison)[1:] == (0, 1, ["crash_loop"])
    # Nothing was swept too early, and nobody wrote down a time of their own.
    twice = "select count(*) from public.jobs where video_id = %s and crash_count + attempt <> 1"
    assert _row(stack, twice, video.id) == (0,)
    moments = (
        "select count(*) from public.jobs as j, public.workers as w"
        " where greatest(j.run_at, j.finished_at, w.beat_at) > now() + interval '1 minute'"
        " or least(j.finished_at, j.started_at, w.started_at) < now() - interval '10 minutes'"
    )
    assert _row(stack, moments) == (0,)
    assert {kind: program.poll() for kind, program in programs.items()} == dict.fromkeys(programs)


def garbage() -> dict[str, bytes]:
    """What may lie in the queue that no publisher of ours wrote."""

    def envelope(task: str, of: bytes, kind: str = "application/json", **more: Any) -> bytes:
        properties = {
            "delivery_mode": 2, "delivery_tag": "t", "priority": 0, "body_encoding": "base64",
            "correlation_id": "c", "delivery_info": {"exchange": "", "routing_key": QUEUE},
        }  # fmt: skip
        return json.dumps(
            {
                "body": base64.b64encode(of).decode(),
                "content-encoding": "utf-8",
                "content-type": kind,
                "headers": {"lang": "py", "task": task, "id": "c", "retries": 0},
                "properties": properties,
            }
            | more
        ).encode()

    arguments = json.dumps([[1], {}, {}]).encode()
    return {
        "no JSON": b"garbage",
        "no UTF-8": b"\xff\xfe\x00",
        "nothing": b"",
        "a number": b"5",
        "a list": b"[]",
        "no properties": b'{"body": ""}',
        "no address": b'{"properties": {"delivery_tag": "t"}}',
        "no base64": envelope("probe", b"", body="*"),
        "deep": b"[" * 100_000,
        "an unknown task": envelope("os.system", arguments),
        "pickle": envelope("probe", pickle.dumps(([1], {}, {})), "application/x-python-serialize"),
        "wrong arguments": envelope("probe", json.dumps([["x", 2, 3], {"y": 1}, {}]).encode()),
        "no arguments": envelope("probe", b"null"),
        "no headers": envelope("probe", arguments, headers=None),
        "huge": envelope("probe", json.dumps([["9" * 5_000_000], {}, {}]).encode()),
    }


def test_garbage_in_the_queue_costs_nothing_but_a_line_in_the_log(
    stack: Stack, alice: UUID
) -> None:
    port = free_port()
    worker = stack.start_worker(metrics_port=port)
    broker = client_of(stack.settings.redis_url)
    for rubbish in garbage().values():
        broker.lpush(QUEUE, rubbish)
    stack.wait(lambda: broker.llen(QUEUE) == 0, "the garbage to be taken")
    stack.start_relay()
    assert stack.settled(stack.add(VIDEO, owner_id=alice)).status is VideoStatus.READY
    assert worker.poll() is None
    expected = f"scenebook_unreadable_messages_total {len(garbage())}.0"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        assert expected in page.read().decode()


def test_a_library_that_deadlocks_after_a_fork_refuses_the_start(stack: Stack) -> None:
    program = (
        "import sys\n"
        "from worker.app import HEAVY, app\n"
        "sys.modules.update((name, sys) for name in HEAVY)\n"
        "app.worker_main(['worker'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment(stack.settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    names = "av, cv2, faster_whisper, onnxruntime, open_clip, torch"
    assert f"{names} must not be loaded before the fork" in done.stderr


def in_work(stack: Stack, video: Video, stage: Stage) -> Callable[[], bool]:
    return lambda: running(stack, video, stage)


def over(stack: Stack, video: Video) -> bool:
    return stack.now(video).status in SETTLED


def drained(stack: Stack, worker: subprocess.Popen[bytes]) -> float:
    """Seconds from SIGTERM to the end; nothing is left running, no crash, no attempt is counted."""
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=40)
    seconds = time.monotonic() - began
    query = (
        "select count(*) filter (where state = 'running'),"
        " coalesce(sum(crash_count), 0),"
        " coalesce(sum(attempt) filter (where state in ('queued', 'retryable')), 0)"
        " from public.jobs"
    )
    assert _row(stack, query) == (0, 0, 0)
    return seconds


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_worker_hands_back_its_job_wherever_sigterm_finds_it(
    stack: Stack, alice: UUID, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    lines = ["SIGTERM to the end of the worker, by what it was doing:"]
    # As configured by default: the lease helps nobody here.
    patient = {"job_lease_s": 60.0, "job_beat_s": 12.0}
    stack.start_relay(**patient)

    def measured(what: str, worker: subprocess.Popen[bytes], video: Video, stage: Stage) -> None:
        stack.wait(in_work(stack, video, stage), f"{stage} to be in work")
        time.sleep(0.3)
        assert running(stack, video, stage), f"{stage} ended too soon"
        seconds = drained(stack, worker)
        lines.append(f"  {what:40} {seconds:5.1f} s")
        assert seconds < 30, lines
        again = stack.start_worker(**patient)
        assert stack.settled(video).status is VideoStatus.READY
        assert drained(stack, again) < 30

    idle = stack.start_worker(**patient)
    stack.settled(stack.add(VIDEO, owner_id=alice))
    lines.append(f"  {'nothing':40} {drained(stack, idle):5.1f} s")
    worker = stack.start_worker(**patient)
    measured("decoding", worker, stack.add(LONGER, owner_id=alice), Stage.SEGMENT)

    (tmp_path / "slow_pictures").touch()
    worker = misbehaving(stack, tmp_path, **patient)
    video = stack.add(a_copy(tmp_path, "pictures"), owner_id=alice)
    stack.wait(in_work(stack, video, Stage.SEGMENT), "segment")
    measured("storing pictures, a second each", worker, video, Stage.SEGMENT)

    local = {"clip_model_name": "figures", "clip_pretrained": "figures"}
    worker = stack.start_worker(**patient, **local)
    measured(
        "loading CLIP",
        worker,
        stack.add(a_copy(tmp_path, "clip"), owner_id=alice),
        Stage.VISUAL_CLIP,
    )

    with an_openai_server() as server:
        server.script(CHAT, *[Reply(hang=True)] * 9)
        remote = {"openai_api_key": "sk-test", "openai_base_url": server.url}
        worker = stack.start_worker(**patient, **remote)
        video = stack.add(a_copy(tmp_path, "described"), owner_id=alice)
        stack.wait(in_work(stack, video, Stage.DESCRIBE), "describe")
        stack.wait(lambda: len(server.asked(CHAT)) > 0, "a question")
        measured("waiting for a description", worker, video, Stage.DESCRIBE)
    record_property("table", lines)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_work_of_a_lost_worker_is_claimed_again_within_its_lease_and_ten_seconds(
    stack: Stack, alice: UUID, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    leases = {"job_lease_s": 6.0, "job_beat_s": 1.2, "job_backoff_s": 2.0, "job_republish_s": 6.0}
    stack.start_relay(**leases)
    workers = [stack.start_worker(**leases), stack.start_worker(**leases)]
    measured = []
    lost = (
        "select count(*) from public.jobs where video_id = %s and stage = 'segment'"
        " and crash_count = 1 and state in ('running', 'succeeded')"
    )
    for number in range(4):
        pools = [psutil.Process(one.pid).children for one in workers]
        stack.wait(lambda them=pools: all(one() for one in them), "two pools")  # type: ignore[misc]
        video = stack.add(a_copy(tmp_path, f"lost{number}", of=LONGER), owner_id=alice)
        stack.wait(in_work(stack, video, Stage.SEGMENT), "the job to be in work")
        holder = _row(
            stack, "select lease_owner from public.jobs where video_id = %s and stage = 'segment'",
            video.id,
        )[0]  # fmt: skip
        killed_at = time.monotonic()
        (first,) = [one for one in workers if f":{one.pid}:" in holder]
        kill_family(first)
        while _row(stack, lost, video.id)[0] == 0:
            time.sleep(0.05)
        measured.append(time.monotonic() - killed_at)
        assert measured[-1] <= 6 + 10, measured
        assert stack.settled(video).status is VideoStatus.READY
        workers = [one for one in workers if one is not first] + [stack.start_worker(**leases)]
    record_property(
        "table",
        [
            "kill -9 of a worker to the next claim, lease 6 s: "
            + ", ".join(f"{one:.1f}" for one in measured)
            + " s"
        ],
    )


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["with_lock", "without_lock"])
def test_a_process_that_no_heartbeat_can_stop_is_killed_after_its_deadline(
    stack: Stack, alice: UUID, bob: UUID, tmp_path: Path, fault: str
) -> None:
    short = {"job_deadline_s": 4.0, "job_max_attempts": 1, "job_max_crashes": 1}
    worker = misbehaving(stack, tmp_path, **short)
    stack.start_relay(**short)
    video = stack.add(a_copy(tmp_path, fault), owner_id=alice)
    stack.wait(in_work(stack, video, Stage.PROBE), "the job to be in work")
    (stuck,) = psutil.Process(worker.pid).children()
    began = time.monotonic()
    assert stack.settled(video).status is VideoStatus.FAILED
    noticed = time.monotonic() - began
    assert noticed < 4 + 5
    # The heartbeat that runs knows of the deadline; where none runs, the lease ends.
    code = "deadline" if fault == "without_lock" else "crash_loop"
    assert first_job(stack, video)[3] == [code]
    psutil.wait_procs([stuck], timeout=15)
    assert not stuck.is_running()
    assert time.monotonic() - began < 4 + 5 + 3
    assert stack.settled(stack.add(VIDEO, owner_id=bob)).status is VideoStatus.READY
    assert worker.poll() is None


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_process_below_a_worker_may_be_killed(
    stack: Stack, alice: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = stack.start_worker()
    stack.start_relay()
    everybody: set[psutil.Process] = set()
    for number in range(6):
        video = stack.add(a_copy(tmp_path, f"killed{number}", of=LONGER), owner_id=alice)
        stage = (Stage.SEGMENT, Stage.VISUAL_CLIP)[number % 2]
        begun = in_work(stack, video, stage)
        # A stage of milliseconds may be over before anybody looks.
        stack.wait(lambda begun=begun, video=video: begun() or over(stack, video), f"{stage}")
        family = psutil.Process(worker.pid).children(recursive=True)
        everybody.update(family)
        family[number % len(family)].kill()
        assert stack.settled(video).status is VideoStatus.READY
        assert worker.poll() is None
    worker.terminate()
    worker.wait(timeout=30)
    assert psutil.wait_procs(everybody, timeout=5)[1] == []
    assert list(tmp_path.glob("scenebook-*")) == []


@pytest.mark.long
def test_a_worker_that_is_killed_leaves_no_process_behind(stack: Stack, alice: UUID) -> None:
    worker = stack.start_worker()
    stack.start_relay()
    video = stack.add(LONGER, owner_id=alice)
    stack.wait(in_work(stack, video, Stage.SEGMENT), "segment to be in work")
    stack.wait(lambda: len(psutil.Process(worker.pid).children(recursive=True)) > 1, "a child")
    family = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    assert psutil.wait_procs(family, timeout=5)[1] == []


@pytest.mark.long
def test_a_video_that_is_deleted_while_it_is_decoded_leaves_no_process_and_no_file(
    stack: Stack, alice: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = stack.start_worker()
    stack.start_relay()
    video = stack.add(LONGER, owner_id=alice)
    stack.wait(in_work(stack, video, Stage.SEGMENT), "segment to be in work")
    stack.wait(lambda: list(tmp_path.glob("scenebook-*")) != [], "the copy of the source")
    (process,) = psutil.Process(worker.pid).children()
    stack.wait(lambda: process.children() != [], "the decoding child")
    decoding = process.children()
    delete_video(stack.db, owner_id=alice, video_id=video.id)
    assert psutil.wait_procs(decoding, timeout=5)[1] == []
    stack.wait(lambda: _row(stack, "select count(*) from public.videos")[0] == 0, "the end of it")
    assert list(tmp_path.glob("scenebook-*")) == []

"""A child process answers, or ends within its bounds; it never takes its parent with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import structlog

from scenebook.children import Child
from scenebook.errors import ChildDied, DeadlineExceeded, InvalidInput, InvalidMedia, ScenebookError

MODULE = "tests.misbehaving_child"


@pytest.fixture
def child() -> Iterator[Child]:
    with_limit = Child(MODULE, name="test", memory_mb=300, environment={"OMP_NUM_THREADS": "1"})
    yield with_limit
    with_limit.close()


def gone(pid: int, within_s: float = 3.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_a_request_is_answered_by_one_lasting_process(child: Child) -> None:
    payload = {"words": ["scene", None, 7], "bytes": b"\x00\xff" * 2_000_000}
    assert child.pid is None
    reply = child.request({"op": "echo", "payload": payload}, timeout_s=10)
    first = child.pid
    child.request({"op": "echo", "payload": 1}, timeout_s=10)
    assert reply == {"echo": payload}
    assert first is not None
    assert child.pid == first
    assert child.restarts == 0


def test_progress_arrives_before_the_reply(child: Child) -> None:
    seen: list[dict[str, int]] = []
    reply = child.request({"op": "count", "steps": 3}, timeout_s=10, on_progress=seen.append)
    assert seen == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert reply == {"done": True}


def test_the_deadline_bounds_a_child_that_is_deaf_to_signals(child: Child) -> None:
    child.start()
    pid = child.pid
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"^Timeout after 0\.5s$"):
        child.request({"op": "hang"}, timeout_s=0.5)
    assert time.monotonic() - began < 0.5 + 0.5
    assert pid is not None
    assert gone(pid)
    assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}
    assert child.restarts == 1


def test_the_deadline_kills_what_the_child_started_too(child: Child) -> None:
    grandchildren: list[int] = []
    with pytest.raises(DeadlineExceeded):
        child.request(
            {"op": "hang", "grandchild": True},
            timeout_s=0.7,
            on_progress=lambda message: grandchildren.append(message["pid"]),
        )
    assert len(grandchildren) == 1
    assert gone(grandchildren[0])


def test_a_large_request_to_a_hanging_child_is_bounded(child: Child) -> None:
    child.start()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)  # it reads nothing, so the pipe fills up
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        child.request({"op": "echo", "payload": b"x" * 5_000_000}, timeout_s=0.5)
    assert time.monotonic() - began < 0.5 + 0.5


def test_kill_from_another_thread_ends_the_request(child: Child) -> None:
    child.start()
    timer = threading.Timer(0.2, child.kill)
    timer.start()
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.request({"op": "hang"}, timeout_s=30)
    timer.join()
    assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}


def test_a_request_right_after_a_kill_meets_a_new_child(child: Child) -> None:
    for number in range(5):
        assert child.request({"op": "echo", "payload": number}, timeout_s=10) == {"echo": number}
        child.kill()
        assert child.pid is None


def test_a_crash_is_reported_and_the_next_request_is_answered(child: Child) -> None:
    with pytest.raises(ChildDied, match="SIGSEGV"):
        child.request({"op": "crash"}, timeout_s=10)
    with pytest.raises(ChildDied, match="exit status 3"):
        child.request({"op": "leave", "status": 3}, timeout_s=10)
    assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}
    assert child.restarts == 2


def test_a_child_that_died_while_idle_is_started_again(child: Child) -> None:
    child.start()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert gone(child.pid or 0)
    assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}


def test_prints_cannot_break_the_protocol_and_become_lines_of_the_log(child: Child) -> None:
    expected = {
        "a library prints to standard output",
        "and some C code writes to descriptor 1",
        "and to standard error",
    }
    with structlog.testing.capture_logs() as lines:
        assert child.request({"op": "chatter"}, timeout_s=10) == {"stdin": ""}
        assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not expected <= {one.get("text") for one in lines}:
            time.sleep(0.01)
    assert expected <= {one.get("text") for one in lines if one["event"] == "child_said"}


def test_errors_cross_with_their_class_code_and_message(child: Child) -> None:
    with pytest.raises(InvalidMedia, match=r"No video in it\.") as media:
        child.request({"op": "fail", "kind": "media"}, timeout_s=10)
    assert media.value.code == "no_video"
    assert not media.value.retryable
    with pytest.raises(ScenebookError, match="unexpected error"):
        child.request({"op": "fail", "kind": "bug"}, timeout_s=10)
    with pytest.raises(ScenebookError, match="TypeError"):
        child.request({"op": "unpackable"}, timeout_s=10)
    with pytest.raises(InvalidInput, match="no operation"):
        child.request({"op": "unheard"}, timeout_s=10)
    assert child.restarts == 0


def test_a_message_that_cannot_be_sent_costs_no_child(child: Child) -> None:
    child.start()
    pid = child.pid
    for payload in ("lone surrogate \ud800", object(), 1 << 80):
        with pytest.raises(InvalidInput, match="cannot be sent"):
            child.request({"op": "echo", "payload": payload}, timeout_s=10)
    assert child.pid == pid


def test_a_child_out_of_memory_dies_alone(child: Child) -> None:
    with pytest.raises(ChildDied, match="ran out of memory") as own:
        child.request({"op": "fail", "kind": "memory"}, timeout_s=10)
    with pytest.raises(ChildDied, match="its limit is 300 MB") as watched:
        child.request({"op": "hog"}, timeout_s=30)
    assert own.value.code == watched.value.code == "out_of_memory"
    assert child.pid is None


@pytest.mark.parametrize("what", ["garbage", "number", "neither", "oversized", "truncated"])
def test_a_broken_reply_is_the_childs_death(child: Child, what: str) -> None:
    with pytest.raises(ChildDied):
        child.request({"op": "babble", "what": what}, timeout_s=10)
    assert child.pid is None


def test_a_failing_progress_report_leaves_no_stale_reply(child: Child) -> None:
    def refuse(message: dict[str, int]) -> None:
        raise KeyError("the job is lost")

    with pytest.raises(KeyError):
        child.request({"op": "count", "steps": 1}, timeout_s=10, on_progress=refuse)
    assert child.request({"op": "echo", "payload": 1}, timeout_s=10) == {"echo": 1}


def test_a_secret_of_the_parent_is_not_in_the_child(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:very-secret@h/d")
    child.start()
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"very-secret" not in environment
    assert b"OMP_NUM_THREADS=1" in environment


def test_an_idle_child_ends_when_it_is_closed(child: Child) -> None:
    child.start()
    pid = child.pid
    child.close()
    assert pid is not None
    assert gone(pid)
    child.close()


PARENT = f"""
import sys, threading, time
from scenebook.children import Child
child = Child({MODULE!r}, name="orphan")
thread = threading.Thread(target=child.start)  # the creating thread's end must not end the child
thread.start()
thread.join()
time.sleep(0.3)
assert child.request({{"op": "echo", "payload": 1}}, timeout_s=10) == {{"echo": 1}}
print(child.pid, flush=True)
child.request({{"op": "hang"}}, timeout_s=60)
"""


def test_a_child_outlives_the_thread_but_not_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(next(line for line in parent.stdout if line.strip().isdigit()))
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


FORKED = f"""
import os
from scenebook.children import Child
child = Child({MODULE!r}, name="forked")
child.start()
mine = child.pid
if (forked := os.fork()) == 0:
    assert child.pid is None and child.restarts == 0
    assert child.request({{"op": "echo", "payload": 2}}, timeout_s=10) == {{"echo": 2}}
    assert child.pid != mine
    child.close()
    os._exit(42)
assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 42
assert child.request({{"op": "echo", "payload": 1}}, timeout_s=10) == {{"echo": 1}}
assert child.pid == mine
child.close()
"""


def test_a_forked_process_starts_a_child_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False)
    assert done.returncode == 0

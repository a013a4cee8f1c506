"""Rules that keep work safe in Postgres: what the code must not use, and how Celery is set."""

from __future__ import annotations

import ast
import importlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest

from scenebook.settings import Settings, get_settings
from worker.door import worker_id

ROOT = Path(__file__).resolve().parents[1]
# State in the broker, or messages that wait there: both are lost with it, or come twice.
IN_THE_BROKER = frozenset({"chord", "group", "chain", "chunks", "AsyncResult", "GroupResult"})
WAITING = frozenset({"countdown", "eta", "expires"})
ASKING = frozenset({"retry", "AsyncResult", "chord", "inspect"})
# A child of these kinds cannot be started from a Celery task, or cannot be killed alone.
CHILDREN = frozenset({"ProcessPoolExecutor", "Pool"})
# Run by a person, never by a worker.
BY_HAND = frozenset({"scenebook/synthetic/dataset.py"})
# The worker's clock may be wrong by hours; measuring how long something took is another matter.
CLOCKS = frozenset({("time", "time"), ("datetime", "now"), ("datetime", "utcnow")})
DOORS = ("worker/app.py", "worker/celeryconfig.py", "worker/relay.py", "worker/tasks.py")


def trees(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), parsed(path)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module, module: str) -> set[str]:
    """The names that a module takes from this one, or from what lies below it."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == module
        for alias in node.names
    }


def called(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the last part of the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node


def broken_rules(tree: ast.Module, *, knows_tasks: bool = True) -> list[str]:
    """What a module does that no module of ours may do; without tasks, `retry` is another's."""
    found = sorted(imported(tree, "celery") & IN_THE_BROKER)
    found += sorted(imported(tree, "concurrent") & CHILDREN)
    found += sorted(imported(tree, "multiprocessing") - {"connection", "resource_tracker"})
    for name, call in called(tree):
        of_an_object = isinstance(call.func, ast.Attribute)
        if name in ("apply_async", "send_task", "delay"):
            found += [word.arg for word in call.keywords if word.arg in WAITING]
        if knows_tasks and of_an_object and name in ASKING:
            found.append(name)
        spelt = ast.unparse(call.func)
        if name in CHILDREN - {"Pool"} or spelt in (
            "multiprocessing.Process",
            "multiprocessing.Pool",
        ):
            found.append(name)
    return found


def test_no_state_and_no_waiting_of_jobs_lies_in_the_broker() -> None:
    found = {
        name: broken_rules(tree, knows_tasks=name.startswith("worker/"))
        for name, tree in trees("scenebook", "worker", "api")
        if name not in BY_HAND
    }
    assert {name: rules for name, rules in found.items() if rules} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from celery import chord",
        "from celery.result import AsyncResult",
        "task.apply_async(args=[1], countdown=5)",
        "app.send_task('probe', eta=later)",
        "self.retry(exc=error)",
        "app.control.inspect()",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor(2)",
        "import multiprocessing\nmultiprocessing.Process(target=run).start()",
        "from multiprocessing import Process",
    ],
)
def test_the_lint_sees_each_of_them(code: str) -> None:
    assert broken_rules(ast.parse(code))


def test_only_the_doors_ring() -> None:
    ringing = {
        name
        for name, tree in trees("scenebook", "worker", "api")
        if any(one in ("send_task", "apply_async", "delay") for one, _ in called(tree))
    }
    assert ringing == {"worker/relay.py"}
    assert {n for n, tree in trees("scenebook", "worker", "api") if imported(tree, "celery")} <= {
        *DOORS
    }


def test_no_clock_of_a_worker_reaches_the_to_do_list() -> None:
    ours = {f"scenebook/{one}.py" for one in ("jobs", "outcomes", "settling", "videos")}
    # It signs what it sends with the moment of sending.
    elsewhere = {"worker/deliveries.py"}
    asked = {
        name: {ast.unparse(call.func) for _, call in called(tree)} & _clocks(tree)
        for name, tree in trees("worker", "scenebook")
        if name in ours or name.startswith(("worker/", "scenebook/db/"))
    }
    assert {name for name, calls in asked.items() if calls} == elsewhere


def _clocks(tree: ast.Module) -> set[str]:
    """How a module would ask for the time of day."""
    from_time = {"time"} if "time" in imported(tree, "time") else set()
    return {f"{module}.{name}" for module, name in CLOCKS} | from_time


def test_the_statements_of_jobs_take_their_time_from_postgres() -> None:
    """A parameter is a number of seconds, a token or a count; never a moment."""
    for path in sorted((ROOT / "scenebook/db/sql/jobs").glob("*.sql")):
        text = path.read_text("utf-8")
        assert not re.search(r":\w*(_at|_until|now|time)\b", text), path.name
        assert "clock_timestamp" not in text, path.name


def test_celery_is_set_so_that_a_lease_and_nothing_else_recovers_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    try:
        config = importlib.reload(importlib.import_module("worker.celeryconfig"))
    finally:
        get_settings.cache_clear()
    expected = {
        "result_backend": None,
        "task_ignore_result": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "task_soft_time_limit": None,
        "task_create_missing_queues": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_pool": "prefork",
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_max_retries": None,
    }
    assert {key: getattr(config, key) for key in expected} == expected
    assert config.task_time_limit > Settings().job_deadline_s
    assert {"socket_timeout", "socket_connect_timeout"} <= set(config.broker_transport_options)


def test_a_message_that_is_lost_costs_no_more_than_a_worker_that_is_lost() -> None:
    assert Settings().job_republish_s <= Settings().job_lease_s
    with pytest.raises(ValueError, match="JOB_REPUBLISH_S must be at most JOB_LEASE_S"):
        Settings(job_lease_s=30, job_republish_s=31)


def test_a_worker_with_the_id_of_one_that_drained_has_another_name() -> None:
    """A restarted container gives the same id again, and a name that drains takes no job."""
    with subprocess.Popen(["sleep", "60"]) as one, subprocess.Popen(["sleep", "60"]) as other:
        names = [worker_id(process.pid) for process in (one, other, one)]
        for process in (one, other):
            process.kill()
    assert names[0] == names[2] != names[1]
    host, pid, start = names[0].rsplit(":", 2)
    assert (host, pid) == (socket.gethostname(), str(one.pid))
    began = psutil.boot_time() + int(start) / os.sysconf("SC_CLK_TCK")
    assert abs(began - time.time()) < 600, "the start does not tell two apart"

"""What the command line starts: it stops all of it, survives its death, and the demo runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenebook.cli.demo import DRAWN_QUERIES
from scenebook.db import migrate
from scenebook.embedded import EmbeddedServices, adopt_running
from tests.commands import PATIENCE_S, VIDEO, Scenebook, assert_gone
from tests.figures import scene_of

pytestmark = pytest.mark.timeout(300)


def test_the_doctor_explains_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "d", DATABASE_URL="postgresql://u:s3cret@localhost:1/nowhere")
    done = commands.run("doctor", "--json", code=1)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["database"]["verdict"] == "fail"
    assert "DATABASE_URL" in checks["database"]["remedy"]
    assert "s3cret" not in done.stdout


@pytest.mark.parametrize("command", [("up",), ("index", str(VIDEO))], ids=lambda words: words[0])
def test_a_broker_that_does_not_answer_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    nowhere = Scenebook(tmp_path / "data", REDIS_URL="redis://:s3cret@localhost:1/0")
    error = nowhere.error(*command)
    assert "REDIS_URL: the broker does not answer" in error
    assert "s3cret" not in error


def test_up_does_not_migrate_a_database_that_it_was_given(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    with EmbeddedServices(theirs, durable=False) as servers:
        url = servers.database_url
        given = Scenebook(tmp_path / "data", DATABASE_URL=url)
        assert "Run `scenebook migrate`" in given.error("up")
        assert migrate.current(url) is None


def test_a_killed_up_leaves_nothing_behind_and_the_next_one_starts(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "data")
    up = commands.start("up")
    children = commands.wait_until_up(up)
    os.kill(up.pid, signal.SIGKILL)
    up.wait()
    assert_gone(children)
    assert commands.json("status") == []


def test_a_dead_worker_is_started_again(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "data")
    up = commands.start("up")
    try:
        commands.wait_until_up(up)
        worker = _worker_of(up)
        worker.kill()
        worker.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while (again := _worker_of(up)) is None or again.pid == worker.pid:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        up.terminate()
        assert up.wait(PATIENCE_S) == 0


def _worker_of(up: subprocess.Popen[bytes]) -> Any:
    for child in psutil.Process(up.pid).children():
        try:
            if "worker.app" in child.cmdline():
                return child
        except psutil.Error:
            continue
    return None


def test_the_demo_shows_everything_and_indexes_the_same_bytes_once(tmp_path: Path) -> None:
    # In ONNX Runtime alone: the demo needs no torch.
    commands = Scenebook(tmp_path / "data", TEXT_EMBEDDING_PROVIDER="local", ENCODER_RUNTIME="onnx")
    first = commands.run("demo")
    for stage in ("probe", "segment", "transcribe", "visual clip", "embed text", "finalize"):
        assert stage in first.stderr
    assert first.stdout.count("transcript 0.") >= 3
    assert "visual_clip: figures, 128 dimensions" in first.stdout
    for text in DRAWN_QUERIES:
        best = first.stdout.split(f"“{text}”")[1].split("  2.")[0]
        assert f"figures.mp4, scene {scene_of(text)}\n" in best
    second = commands.run("demo")
    assert second.stderr.count("not indexed again") == 2
    assert adopt_running(commands.home / "demo") is None

"""The command line as a person uses it: its own processes, its own embedded servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenebook.embedded import adopt_running
from scenebook.settings import process_environment

ROOT = Path(__file__).resolve().parents[1]
VIDEO = ROOT / "tests" / "media" / "composite_dev.mp4"
COMMAND = [sys.executable, "-c", "from scenebook.cli import main; main()"]
# Each start takes a second or two on a busy machine; nothing here waits for a deadline of ours.
PATIENCE_S = 150

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]


class Scenebook:
    """Runs commands on one data directory."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        ours = {
            "SCENEBOOK_DATA_DIR": str(home),
            "SCENEBOOK_OWNER": "alice",
            "TEXT_EMBEDDING_PROVIDER": "fake",
            "TRANSCRIPTION_PROVIDER": "off",
        }
        self.environ = process_environment(ours | environ)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words],
            env=self.environ,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def error(self, *words: str) -> str:
        done = self.run(*words, code=1)
        assert "Traceback" not in done.stderr
        return done.stderr

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command in a session of its own, as a terminal would start it."""
        with (self.home.parent / "up.log").open("wb") as log:
            return subprocess.Popen(
                [*COMMAND, *words],
                env=self.environ,
                cwd=self.home.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The four processes below a running `up`."""
        deadline = time.monotonic() + PATIENCE_S
        children: list[psutil.Process] = []
        while len(children) < 4 or adopt_running(self.home) is None:
            assert process.poll() is None, (self.home.parent / "up.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            children = psutil.Process(process.pid).children()
        return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 40
    while left := [one for one in processes if _runs(one)]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenebook]:
    """`scenebook up` with one video of alice's, indexed with the subtitles that lie beside it."""
    commands = Scenebook(tmp_path_factory.mktemp("cli") / "data")
    up = commands.start("up")
    try:
        children = commands.wait_until_up(up)
        (added,) = commands.json("index", str(VIDEO))
        assert added["status"] == "ready", added
        yield commands
        children += psutil.Process(up.pid).children(recursive=True)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(PATIENCE_S)
    assert up.returncode == 0
    assert_gone(children)


def documented(heading: str) -> Any:
    """The first JSON example after these words in docs/cli.md."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    found = re.search(r"```json\n(.*?)```", page[page.index(heading) :], re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_status_has_the_documented_shape(running: Scenebook) -> None:
    (video,) = running.json("status")
    assert list(video) == list(documented("`status --json` is a list")[0])
    by_prefix = running.json("status", video["id"][:8])
    assert set(by_prefix) == set(video) | set(documented("with these keys besides"))
    assert by_prefix["channels"]["transcript"]["ok"] > 0
    assert by_prefix["channels"]["visual_clip"].keys() == {"disabled"}
    assert {stage["state"] for stage in by_prefix["stages"]} == {"succeeded"}


def test_scenes_have_the_documented_shape(running: Scenebook) -> None:
    scenes = running.json("scenes", "composite_dev")
    (example,) = documented("`scenes VIDEO --json`")
    assert [scene["scene_index"] for scene in scenes] == list(range(len(scenes)))
    assert len(scenes) >= 8
    for scene, following in pairwise(scenes):
        assert scene["end_ms"] == following["start_ms"]
    for scene in scenes:
        assert list(scene) == list(example)
        assert list(scene["channels"]) == list(example["channels"])
        assert set(scene["channels"]["transcript"]) == {"status", "error", "metadata"}
        assert set(scene["keyframes"][0]) == set(example["keyframes"][0])
        assert 0 <= scene["keyframes"][0]["quality"]["quality_score"] <= 1
        assert scene["start_ms"] <= scene["keyframes"][0]["at_ms"] < scene["end_ms"]


def test_search_finds_the_scene_in_which_the_words_are_spoken(running: Scenebook) -> None:
    answer = running.json("search", "tacos al pastor are my favorite", "--limit", "3")
    example = documented("`search TEXT --json`")
    assert list(answer) == list(example)
    hit = answer["hits"][0]
    assert list(hit) == list(example["hits"][0])
    assert "Tacos" in hit["transcript"]
    assert hit["reasons"][0]["channel"] == "transcript"
    assert hit["reasons"][0]["rank"] == 1
    assert answer["degraded"] == {}


def test_a_channel_that_cannot_answer_is_named(running: Scenebook) -> None:
    answer = running.json("search", "tacos", "--channel", "summary")
    assert answer["hits"] == []
    assert list(answer["degraded"]) == ["summary"]


def test_another_owner_has_none_of_it(running: Scenebook) -> None:
    assert running.json("status", "--owner", "bob") == []
    assert running.json("search", "tacos", "--owner", "bob")["hits"] == []
    assert "There is no video" in running.error("delete", "composite_dev", "--owner", "bob")


def test_the_same_bytes_are_indexed_once(running: Scenebook, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.mp4"
    shutil.copy(VIDEO, copy)
    done = running.run("index", str(copy), "--json")
    assert "is here already" in done.stderr
    (video,) = json.loads(done.stdout)
    assert video["title"] == VIDEO.name
    assert len(running.json("status")) == 1


def test_people_see_tables_and_reasons(running: Scenebook) -> None:
    table = running.run("scenes", "composite_dev.mp4").stdout
    assert "visual_clip:" in table
    assert "CLIP_ENABLED is false" in table
    assert "transcript" in running.run("status", "composite_dev").stdout


def test_a_broken_file_fails_with_a_reason_and_is_deleted(
    running: Scenebook, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 1000)
    (video,) = running.json("index", str(broken), "--owner", "carol", code=1)
    assert video["status"] == "failed"
    assert video["reason"]
    gone = running.json("delete", video["id"], "--owner", "carol")
    assert gone == {"id": video["id"], "title": "broken.mp4", "status": "deleting"}
    deadline = time.monotonic() + 30
    while running.json("status", "--owner", "carol"):
        assert time.monotonic() < deadline


def test_a_channel_is_retried(running: Scenebook) -> None:
    (video,) = running.json("retry", "composite_dev", "--channel", "transcript")
    assert video["status"] == "ready"
    assert "name a --stage" in running.run("retry", "composite_dev").stderr


def test_the_doctor_finds_a_running_scenebook_healthy(running: Scenebook) -> None:
    diagnosis = running.json("doctor")
    verdicts = {check["name"]: check["verdict"] for check in diagnosis["checks"]}
    assert diagnosis["ok"] is True
    assert {"database", "pgvector", "schema", "redis", "storage"} <= verdicts.keys()
    assert verdicts["clip"] == "off"
    for check in diagnosis["checks"]:
        assert check["verdict"] == "ok" or check["remedy"]


def test_a_second_up_says_that_one_is_running(running: Scenebook) -> None:
    assert "Another scenebook is running" in running.error("up")


def test_errors_name_one_remedy(running: Scenebook, tmp_path: Path) -> None:
    assert "There is no video in" in running.error("index", str(tmp_path))
    misspelt = Scenebook(running.home, CLIP_ENABLD="true")
    assert "Did you mean CLIP_ENABLED?" in misspelt.error("status")
    nowhere = Scenebook(running.home, DATABASE_URL="postgresql://localhost:1/nowhere")
    assert "cannot be reached" in nowhere.error("status")
    error = json.loads(running.run("scenes", "nothing", "--json", code=1).stderr)
    assert error["error"]["code"] == "not_found"


def test_the_doctor_explains_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "d", DATABASE_URL="postgresql://u:s3cret@localhost:1/nowhere")
    done = commands.run("doctor", "--json", code=1)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["database"]["verdict"] == "fail"
    assert "DATABASE_URL" in checks["database"]["remedy"]
    assert "s3cret" not in done.stdout


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
    commands = Scenebook(tmp_path / "data", TEXT_EMBEDDING_PROVIDER="local")
    first = commands.run("demo")
    for stage in ("probe", "segment", "transcribe", "visual clip", "embed text", "finalize"):
        assert stage in first.stderr
    assert "CLIP_ENABLED is false" in first.stdout
    assert first.stdout.count("transcript 0.") >= 3
    second = commands.run("demo")
    assert "not indexed again" in second.stderr
    assert adopt_running(commands.home) is None

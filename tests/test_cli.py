"""The command line as a person uses it beside a running `scenebook up`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import PATIENCE_S, ROOT, VIDEO, Scenebook, assert_gone

pytestmark = pytest.mark.timeout(300)


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
    assert {one["channel"]: one["rank"] for one in hit["reasons"]} == {
        "transcript": 1,
        "lexical": 1,
    }
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


def test_of_several_files_a_refused_one_does_not_stop_the_others(
    running: Scenebook, tmp_path: Path
) -> None:
    for name in ("good.mp4", "bad.mp4"):
        shutil.copy(VIDEO, tmp_path / name)
    (tmp_path / "bad.srt").write_text("no cue")
    done = running.run("index", str(tmp_path), code=1)
    assert "bad.mp4 is left out" in done.stderr
    assert "good.mp4 is here already" in done.stderr


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


def test_the_commands_of_the_readme_run_as_they_stand_there(running: Scenebook) -> None:
    shutil.copy(VIDEO, running.home.parent / "holiday.mp4")
    shutil.copy(VIDEO.with_suffix(".vtt"), running.home.parent / "holiday.vtt")
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M)
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("scenebook ")]
    assert len(commands) >= 4
    for words in commands:
        if words != ["up"]:  # it runs already, below this module's fixture
            running.run(*words)


def test_what_is_ready_cannot_be_cancelled(running: Scenebook) -> None:
    assert "nothing to cancel" in running.error("cancel", "composite_dev")


def test_an_empty_owner_is_refused_rather_than_taken_for_the_default(running: Scenebook) -> None:
    assert "owner is empty" in running.error("status", "--owner", "")


def test_a_url_that_is_none_is_named_without_being_repeated(running: Scenebook) -> None:
    odd = Scenebook(running.home, DATABASE_URL="mysql://me:secret@host/db")
    error = odd.error("status")
    assert "DATABASE_URL" in error
    assert "secret" not in error


def test_retry_names_the_channel_that_was_off_and_is_on_now(running: Scenebook) -> None:
    on = Scenebook(running.home, CLIP_ENABLED="true", OPENAI_API_KEY="sk-none")
    hints = on.run("retry", "composite_dev").stderr
    assert "--channel visual_clip" in hints
    assert "--channel visual`" in hints
    assert "--channel summary" not in hints  # the stage of `visual` fills it too
    assert "is on now" not in running.run("retry", "composite_dev").stderr


def test_sql_is_not_json(running: Scenebook) -> None:
    assert "--sql prints SQL" in running.error("migrate", "--sql", "--json")

"""The everyday commands at a service elsewhere: the same words and answers as on its machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from scenebook.cli import backfilling, keys, search_commands, spaces, up, webhooks
from scenebook.cli.commands import app
from scenebook.errors import ConfigurationError, InvalidInput, NotFound
from scenebook.settings import Settings
from tests.commands import VIDEO, Scenebook, documented
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server
from tests.rows import an_owner
from tests.serving import running_api, token_of, with_tokens

# Imported because they register their commands.
REGISTERED = (backfilling, keys, search_commands, spaces, up, webhooks)
SHORT = Path(__file__).parent / "media" / "edge" / "rotate_90.mov"


@dataclass(frozen=True)
class Far:
    """A service, and commands that know nothing but its URL and a key."""

    shell: Scenebook
    url: str

    def settings(self, owner: Any = ALICE) -> Settings:
        key = SecretStr(token_of(owner))
        return Settings(scenebook_url=self.url, scenebook_api_key=key)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def far(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    home = tmp_path_factory.mktemp("far")
    with postgres_server.database() as database_url:
        with psycopg.connect(database_url) as connection:
            for owner in (ALICE, BOB):
                an_owner(connection, owner)
        settings = with_tokens(settings_for(database_url, home / "data", **FAKE_CLIP))
        with a_pipeline(settings) as pipeline, running_api(settings) as url, pipeline.at_work():
            shell = Scenebook(
                home / "nothing", SCENEBOOK_URL=url, SCENEBOOK_API_KEY=token_of(ALICE)
            )
            yield Far(shell, url)


@pytest.fixture
def run(far: Far, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a command in this process, as Alice or as the owner of `owner`'s key."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str, owner: Any = ALICE, as_json: bool = True) -> Any:
        settings = far.settings(owner)
        for module in ("commands", "up"):
            monkeypatch.setattr(f"scenebook.cli.{module}.get_settings", lambda: settings)
        line = [*words, "--json"] if as_json else list(words)
        done = CliRunner().invoke(app, line, standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        assert list(tmp_path.iterdir()) == []
        return json.loads(done.stdout) if as_json else done.stdout

    return command


def test_a_file_is_indexed_and_found_from_another_machine(far: Far) -> None:
    (added,) = far.shell.json("index", str(VIDEO))
    assert (added["title"], added["status"]) == (VIDEO.name, "ready")
    assert {stage["state"] for stage in added["stages"]} == {"succeeded"}
    answer = far.shell.json("search", "tacos al pastor are my favorite", "--limit", "3")
    assert answer["hits"][0]["video_id"] == added["id"]
    assert not far.shell.home.exists()


def test_answers_have_the_documented_shapes(far: Far, run: Any) -> None:
    (video,) = run("status")
    assert list(video) == list(documented("`status --json` is a list")[0])
    one = run("status", "composite_dev")
    assert set(one) == set(video) | set(documented("with these keys besides"))
    scenes = run("scenes", video["id"][:8])
    (example,) = documented("`scenes VIDEO --json`")
    assert [scene["scene_index"] for scene in scenes] == list(range(video["scene_count"]))
    assert list(scenes[0]) == list(example)
    assert list(scenes[0]["channels"]) == list(example["channels"])
    assert scenes[0]["keyframes"][0]["image_key"].startswith("/v1/keyframes/")
    found = run("search", "the", "--limit", "2", "--threshold", "-1")
    example = documented("`search TEXT --json`")
    assert list(found) == list(example)
    assert list(found["hits"][0]) == list(example["hits"][0])
    assert len(found["hits"]) == 2
    alike = run("similar", "composite_dev:0", "--threshold", "-1", "--limit", "3")
    assert list(alike) == list(documented("`similar SCENE --json`"))
    assert len(alike["hits"]) == 3
    table = run("scenes", "composite_dev", as_json=False)
    assert "visual_clip" in table
    assert re.search(r"composite_dev\.mp4 +ready", run("status", as_json=False))


def test_weights_and_channels_count_as_they_do_here(far: Far, run: Any) -> None:
    words = ["search", "tacos al pastor", "--channel", "transcript", "--channel", "lexical"]
    answer = run(*words, "--weight", "lexical=0", "--threshold", "-1")
    reasons = {one["channel"] for hit in answer["hits"] for one in hit["reasons"]}
    assert reasons == {"transcript"}
    assert len(run("search", "the", "--limit", "200", "--threshold", "-1")["hits"]) > 2
    within = run("search", "tacos", "--video", "composite_dev")
    assert within["hits"]
    with pytest.raises(InvalidInput, match="not asked"):
        run(*words, "--weight", "visual=1")


def test_a_video_is_retried_and_of_several_files_each_is_sent(far: Far, run: Any) -> None:
    assert [one["status"] for one in run("retry", "composite_dev")] == ["ready"]
    (again,) = run("retry", "composite_dev", "--channel", "visual_clip")
    assert again["status"] == "ready"
    (same, other) = run("index", str(VIDEO), str(SHORT))
    assert (same["id"], other["title"]) == (again["id"], SHORT.name)
    assert other["status"] in ("ready", "partial")
    assert run("delete", SHORT.name)["status"] == "deleting"
    assert [one["title"] for one in run("status") if one["status"] != "deleting"] == [VIDEO.name]


def test_another_owner_sees_nothing_of_it(far: Far, run: Any) -> None:
    (mine,) = [one for one in run("status") if one["title"] == VIDEO.name]
    assert run("status", owner=BOB) == []
    for words in (["scenes"], ["status"], ["delete"], ["retry"], ["cancel"]):
        with pytest.raises(NotFound):
            run(*words, mine["id"], owner=BOB)
    assert run("search", "tacos al pastor", owner=BOB)["hits"] == []
    with pytest.raises(InvalidInput, match="Leave --owner out"):
        run("status", "--owner", "bob")


HERE_ONLY = (
    ["spaces", "list"],
    ["backfill", "--channel", "visual_clip"],
    ["keys", "list"],
    ["webhooks", "list"],
    ["migrate"],
    ["up"],
)


@pytest.mark.parametrize("words", HERE_ONLY, ids=lambda words: words[0])
def test_what_needs_the_servers_says_so(run: Any, words: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="unset SCENEBOOK_URL"):
        run(*words, as_json=False)


def test_a_key_that_is_refused_is_one_sentence(far: Far) -> None:
    stranger = Scenebook(far.shell.home, SCENEBOOK_URL=far.url, SCENEBOOK_API_KEY="sbk_wrong")
    said = stranger.error("status")
    assert said.startswith("Error: ")
    assert "sbk_wrong" not in said

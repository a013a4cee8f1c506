"""`scenebook search` with pictures and weights, and `scenebook similar`, as a person types them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from PIL import Image

from scenebook.cli import search_commands
from scenebook.cli.commands import app
from scenebook.encoders.fake import FakeClip
from scenebook.errors import InvalidInput
from scenebook.model import Channel
from tests.commands import Scenebook, documented
from tests.conftest import ALICE, BOB
from tests.hostile_pictures import png as a_png
from tests.pictures import png
from tests.postgres import Server
from tests.rows import a_scene, a_video, an_embedding, an_owner

COLOURS = ("red", "green", "blue", "red")


@pytest.fixture(scope="module")
def shell(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenebook]:
    """Commands of Alice's, who has a video of four plain scenes; Bob has one of the same."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as tx:
            space = the_fakes_space(tx)
            for owner in (ALICE, BOB):
                an_owner(tx, owner)
                video = a_video(tx, owner=owner)
                for index, colour in enumerate(COLOURS):
                    scene = a_scene(tx, owner=owner, video=video, index=index)
                    (vector,) = FakeClip().encode([Image.new("RGB", (64, 48), colour)])
                    an_embedding(tx, vector, scene=scene, space=space, at_ms=1000 * index + 400)
        yield Scenebook(
            tmp_path_factory.mktemp("shell") / "data",
            DATABASE_URL=url,
            SCENEBOOK_OWNER=str(ALICE),
            CLIP_MODEL_NAME="fake",
        )


def the_fakes_space(tx: psycopg.Connection) -> int:
    fake = FakeClip.loaded.space(Channel.VISUAL_CLIP)
    row = tx.execute(
        "insert into public.embedding_spaces"
        " (channel, model, weights, revision, dimensions, status, source)"
        " values ('visual_clip', %s, %s, %s, %s, 'active', '{\"clip_model_name\": \"fake\"}')"
        " returning id",
        (fake.model, fake.weights, fake.revision, fake.dimensions),
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def red(tmp_path: Path) -> str:
    """A picture file like two of Alice's scenes."""
    path = tmp_path / "photo.png"
    path.write_bytes(png("red"))
    return str(path)


def scenes(answer: Any) -> list[int]:
    return [hit["scene_index"] for hit in answer["hits"]]


def test_a_picture_finds_scenes_although_clip_is_off(shell: Scenebook, red: str) -> None:
    answer = shell.json("search", "--image", red)
    assert list(answer) == list(documented("`search TEXT --json`"))
    assert (answer["query"], answer["image"], answer["degraded"]) == (None, red, {})
    assert sorted(scenes(answer)) == [0, 3]
    assert answer["hits"][0]["reasons"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    text = shell.run("search", "--image", red, "--limit", "1").stdout
    assert "“photo.png”" in text
    assert re.search(r"visual_clip 1\.00 \(#1\) at 0:0[03]\.4", text)


def test_a_picture_of_too_much_is_an_error_and_not_a_search(
    shell: Scenebook, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(a_png(14_000, 14_000))
    assert "too many pixels" in shell.error("search", "--image", str(path))


def test_text_and_picture_are_weighed(shell: Scenebook, red: str) -> None:
    words = ["search", "blue", "--image", red, "--channel", "visual_clip", "--threshold", "-1"]
    answer = shell.json(*words, "--weight", "text=0.9", "--weight", "image=0.1")
    assert scenes(answer)[0] == 2
    assert answer["hits"][0]["reasons"][0]["similarity"] > 0.95  # halves would have less of either
    assert (answer["query"], answer["image"]) == ("blue", red)


def test_similar_scenes_by_id_and_by_place(shell: Scenebook) -> None:
    by_place = shell.json("similar", "A video:0")
    assert list(by_place) == list(documented("`similar SCENE --json`"))
    assert scenes(by_place) == [3]
    (hit,) = by_place["hits"]
    assert hit["reasons"][0]["matched_ms"] == 3400
    back = shell.json("similar", hit["scene_id"], "--threshold", "-1", "--other-videos")
    assert back["hits"] == []
    assert "There is no scene" in shell.error("similar", hit["scene_id"], "--owner", str(BOB))


REFUSALS: list[tuple[list[str], str]] = [
    ([], "Give a text, --image, or both"),
    (["x", "--weight", "text=0.5"], "Give a text and an --image"),
    (["x", "--weight", "speech=0.5"], "'speech' is none of text, image, visual_clip"),
    (["x", "--weight", "transcript=much"], "transcript=NUMBER"),
    (["x", "--weight", "transcript=nan"], "transcript=NUMBER"),
    (["x", "--weight", "transcript=1", "--weight", "transcript=2"], "has a weight already"),
    (["--image", "/nowhere.jpg"], r"There is no file /nowhere\.jpg"),
    (["--image", "/"], "is a directory"),
    (["--image", "/dev/zero"], "no regular file"),
]


@pytest.mark.parametrize(("words", "message"), REFUSALS)
def test_what_cannot_be_meant_is_said_before_anything_starts(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        typer.main.get_command(app).main(["search", *words], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_channels_that_are_not_asked_are_refused() -> None:
    asked = [Channel.TRANSCRIPT, Channel.SUMMARY]
    search_commands.require_counting(asked, {Channel.TRANSCRIPT: 0.0})
    with pytest.raises(InvalidInput, match="that channel is not asked"):
        search_commands.require_counting(asked, {Channel.VISUAL_CLIP: 1.0})
    with pytest.raises(InvalidInput, match="the weight 0"):
        search_commands.require_counting(asked, dict.fromkeys(asked, 0.0))


def test_a_file_that_is_no_picture_is_one_sentence(shell: Scenebook, tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    drawing.write_text("<svg/>")
    said = shell.error("search", "--image", str(drawing))
    assert said.strip().endswith("The picture is no JPEG, PNG, WebP, GIF or BMP.")

"""Training: pairs are read with care, split and batched by groups, and a model learns from them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest

from scenebook.errors import InvalidInput, NotFound
from scenebook.synthetic.dataset import png, read_gate
from scenebook.training.pairs import Pair, described_keyframes, read_pairs, split
from scenebook.training.recall import recall_at_1
from tests.commands import Scenebook
from tests.indexed import FAKE_CLIP, VIDEO, of
from tests.pipelines import Pipeline, a_pipeline

# Names that no caption of the shipped checkpoint's training had.
RENAMED = {
    "red": "scarlet", "green": "jade", "blue": "azure", "yellow": "lemon", "orange": "amber",
    "purple": "mauve", "cyan": "aqua", "pink": "salmon",
}  # fmt: skip


def table(directory: Path, rows: list[tuple[str, str]], columns: str = "image,caption") -> Path:
    path = directory / "pairs.csv"
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([tuple(columns.split(",")), *rows])
    return path


def picture(directory: Path) -> str:
    (directory / "one.png").write_bytes(png(read_gate()[0].drawing))
    return "one.png"


def test_a_table_gives_its_pairs(tmp_path: Path) -> None:
    found = read_pairs(table(tmp_path, [(picture(tmp_path), f"caption {n}") for n in range(20)]))
    assert [pair.caption for pair in found] == [f"caption {n}" for n in range(20)]
    assert {pair.image for pair in found} == {tmp_path / "one.png"}


def test_a_fault_in_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    good = [(picture(tmp_path), "a thing")] * 20
    with pytest.raises(NotFound, match=r"no file .*absent\.csv"):
        read_pairs(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match="columns image and caption"):
        read_pairs(table(tmp_path, good, columns="file,text"))
    with pytest.raises(InvalidInput, match=r"line 22: there is no file .*gone\.png"):
        read_pairs(table(tmp_path, [*good, ("gone.png", "a thing")]))
    with pytest.raises(InvalidInput, match="line 22: the caption is empty"):
        read_pairs(table(tmp_path, [*good, ("one.png", "  ")]))
    with pytest.raises(InvalidInput, match="20 at least"):
        read_pairs(table(tmp_path, good[:3]))


def test_a_group_is_never_in_both_parts() -> None:
    pairs = [Pair(Path("x"), str(n), group=f"g{n // 4}") for n in range(400)]
    training, validation = split(pairs, share=0.1, seed=1)
    assert {pair.group for pair in training}.isdisjoint(pair.group for pair in validation)
    assert sorted(training + validation, key=lambda pair: int(pair.caption)) == pairs
    assert 40 <= len(validation) <= 44


def test_few_pairs_are_split_too() -> None:
    pairs = [Pair(Path("x"), str(n), group="all") for n in range(20)]
    training, validation = split(pairs, share=0.05, seed=0)
    assert training
    assert validation


def test_recall_counts_what_is_found_first_and_a_tie_as_missed() -> None:
    images = np.eye(4, dtype=np.float32)
    texts = images.copy()
    assert recall_at_1(images, texts).text_to_image == 1
    texts[0] = texts[1]
    assert recall_at_1(images, texts).text_to_image == 0.75
    assert recall_at_1(images, np.ones_like(images) / 2).text_to_image == 0
    only = recall_at_1(images, texts, asked=np.array([True, True, False, False]))
    assert (only.text_to_image, only.pairs) == (0.5, 2)


def test_described_keyframes_are_those_of_one_owner(
    pipeline: Pipeline, alice: UUID, bob: UUID, tmp_path: Path
) -> None:
    settings = pipeline.tools.settings.model_copy(update=FAKE_CLIP)
    with a_pipeline(settings) as clip:
        video = clip.index(VIDEO, owner_id=alice)
        clip.index(VIDEO, owner_id=bob)
    described = of(pipeline, alice, video.id)
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "update public.scenes set description = 'scene ' || scene_index"
            " where owner_id = %s", (alice,)
        )  # fmt: skip
    db, storage = pipeline.tools.db, pipeline.tools.storage
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with pytest.raises(InvalidInput, match="0 described scenes"):
        described_keyframes(db, storage, owner_id=bob, directory=pictures)
    with pytest.raises(InvalidInput, match=f"{len(described)} described scenes"):
        described_keyframes(db, storage, owner_id=alice, directory=pictures)
    assert len(list(pictures.iterdir())) == len(described)


def test_a_model_learns_words_it_never_heard(tmp_path: Path) -> None:
    rows = []
    for number, pair in enumerate(read_gate()[:240]):
        (tmp_path / f"{number}.png").write_bytes(png(pair.drawing))
        words = [RENAMED.get(word, word) for word in pair.caption.text.split()]
        rows.append((f"{number}.png", " ".join(words)))
    pairs = table(tmp_path, rows)
    out = tmp_path / "renamed"
    commands = Scenebook(tmp_path / "data")
    report = commands.json(
        "train-clip", "--pairs", str(pairs), "--out", str(out), "--model", "figures",
        "--steps", "40", "--batch-size", "32", "--learning-rate", "1e-3",
        "--validation-share", "0.2",
    )  # fmt: skip
    before, after = report["recall_before"], report["recall_after"]
    assert after["text_to_image"] >= before["text_to_image"] + 0.1
    assert json.loads((out / "golden.json").read_text())["texts"]
    again = commands.run("train-clip", "--pairs", str(pairs), "--out", str(out), code=1)
    assert "holds a checkpoint already" in again.stderr


def test_what_cannot_be_trained_on_is_said(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "data")
    refused = commands.run("train-clip", "--out", str(tmp_path / "out"), code=1)
    assert "--pairs, --described and --synthetic" in refused.stderr
    (tmp_path / "bad.png").write_bytes(b"no picture")
    pairs = table(tmp_path, [("bad.png", f"caption {n}") for n in range(20)])
    refused = commands.run(
        "train-clip", "--pairs", str(pairs), "--out", str(tmp_path / "out"), "--model", "figures",
        code=1,
    )  # fmt: skip
    assert "bad.png" in refused.stderr
    assert not (tmp_path / "out").exists()

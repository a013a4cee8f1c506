"""The generated pictures: what training sees, what the gate asks, and that both stay."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenebook.synthetic.captions import caption
from scenebook.synthetic.dataset import (
    GATE_KINDS,
    Course,
    draw_gate,
    read_gate,
    training_groups,
    write_training_set,
)
from scenebook.synthetic.drawings import (
    COMBINATIONS,
    INVERSE,
    UNSEEN,
    Drawing,
    Figure,
    alternatives,
    sample,
)
from scenebook.synthetic.painting import paint


def test_a_fifth_of_the_combinations_is_held_out() -> None:
    assert len(UNSEEN) == round(0.2 * len(COMBINATIONS))
    assert {relation for _, _, relation in UNSEEN} == set(INVERSE)


def test_training_has_every_combination_but_those_held_out() -> None:
    groups = islice(training_groups("seen"), 2500)
    seen = {one for group in groups for pair in group for one in pair.drawing.combinations}
    assert seen == set(COMBINATIONS) - UNSEEN


@pytest.mark.parametrize("course", Course)
def test_the_captions_of_a_group_tell_its_drawings_apart(course: Course) -> None:
    for group in islice(training_groups("contrasts", course), 100):
        assert len(group) in (4, 8)
        assert not any(pair.drawing.unseen for pair in group)
        for one in group:
            others = [other.drawing for other in group if other is not one]
            assert not any(one.caption.fits(other, of=one.drawing) for other in others)


def test_the_gate_is_what_its_seed_draws() -> None:
    assert read_gate() == draw_gate()


def test_the_gate_has_500_captions_each_true_of_one_picture_alone() -> None:
    gate = read_gate()
    assert len(gate) == sum(GATE_KINDS.values()) == 500
    assert len({pair.caption.text for pair in gate}) == 500
    for one in gate:
        assert len(one.caption.named) >= 3
        fitting = [other for other in gate if one.caption.fits(other.drawing, of=one.drawing)]
        assert fitting == [one]


def test_a_fifth_of_the_gate_has_combinations_that_training_never_sees() -> None:
    assert sum(pair.drawing.unseen for pair in read_gate()) == 100


def test_the_same_drawing_is_the_same_picture_at_any_time() -> None:
    drawing = sample(random.Random(1), "pair")
    assert paint(drawing).tobytes() == paint(drawing).tobytes()


@pytest.mark.parametrize("kind", ["single", "group", "pair"])
def test_a_drawing_looks_the_same_at_every_size(kind: str) -> None:
    rng = random.Random(7)
    for _ in range(10):
        drawing = sample(rng, kind)
        large = paint(drawing, 256).resize((64, 64), Image.Resampling.BOX)
        difference = np.abs(np.asarray(large, float) - np.asarray(paint(drawing), float))
        assert difference.mean() < 6


def test_figures_are_where_their_relation_says() -> None:
    rng = random.Random(2)
    for relation, axis in (("left", 1), ("above", 0)):
        for _ in range(20):
            drawing = Drawing(
                (Figure("circle", "red"), Figure("square", "blue")),
                relation=relation,
                background="black",
                seed=rng.getrandbits(32),
            )
            pixels = np.asarray(paint(drawing), dtype=int)
            red = np.argwhere(pixels[:, :, 0] > pixels[:, :, 2] + 60).mean(axis=0)
            blue = np.argwhere(pixels[:, :, 2] > pixels[:, :, 0] + 60).mean(axis=0)
            assert red[axis] < blue[axis] - 15


def test_captions_name_what_they_must_and_say_it_in_many_ways() -> None:
    drawing = Drawing((Figure("star", "green", "small"),), position="top left")
    texts = {
        caption(random.Random(seed), drawing, must={"size", "position"}).text for seed in range(40)
    }
    assert len(texts) > 20
    assert all("green star" in text and "left" in text for text in texts)
    assert all(any(word in text for word in ("small", "little", "tiny")) for text in texts)


def test_alternatives_differ_in_one_fact_alone() -> None:
    rng = random.Random(4)
    for _ in range(50):
        drawing = sample(rng)
        for fact in set(drawing.facts) - {"relation"}:
            for other in alternatives(drawing, fact):
                changed = {
                    name for name in drawing.facts if other.facts[name] != drawing.facts[name]
                }
                assert changed == {fact}


def test_the_same_seed_writes_the_same_training_set(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tables.append(write_training_set(tmp_path / name, count=100, seed=5))
    first, second = (table.read_text() for table in tables)
    assert first == second
    assert len(first.splitlines()) == 101
    for line in first.splitlines()[1:4]:
        name = line.split(",")[0]
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

"""Training pairs and the gate set, drawn from a seed.

`python -m scenebook.synthetic.dataset` writes the gate set anew.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from scenebook.synthetic.captions import Caption, caption
from scenebook.synthetic.drawings import (
    CHANGES,
    FINE_CHANGES,
    Drawing,
    Figure,
    contrast,
    rebound,
    sample,
)
from scenebook.synthetic.painting import paint

SIDE = 64
# A share of the captions says no more than it must, as queries do.
TERSE = 0.15
PART = 2000
COLUMNS = ("image", "caption", "group", "label")


class Course(StrEnum):
    """What a training set is to teach; a model learns from the first to the last.

    coarse: any drawing among three that differ from it in a thing or two. binding: two figures, and
    the same words bound to them in other ways; among easier pairs a model never learns which of two
    is where. mixed: both, and drawings among seven that differ in what is hardest.
    """

    COARSE = "coarse"
    BINDING = "binding"
    MIXED = "mixed"


# Of the JPEGs, from and to. Strong compression hides the details that the later courses are about.
QUALITIES = {Course.COARSE: (60, 95), Course.BINDING: (85, 98), Course.MIXED: (85, 98)}

GATE = Path(__file__).parent / "gate.jsonl"
GATE_SEED = 500
GATE_KINDS = {"single": 100, "group": 100, "pair": 200, "unseen pair": 100}


@dataclass(frozen=True, slots=True)
class Pair:
    """A drawing and what is said of it."""

    drawing: Drawing
    caption: Caption

    @property
    def label(self) -> str:
        """What the picture is of, as a class name; empty if it shows several things."""
        first = self.drawing.figures[0]
        return f"{first.colour} {first.shape}" if self.drawing.position is not None else ""


def training_groups(seed: str, course: Course = Course.COARSE) -> Iterator[list[Pair]]:
    """Groups of a drawing and what is nearly like it, without end; none is of the unseen."""
    rng = random.Random(seed)
    while True:
        part = course
        if course is Course.MIXED:
            part = rng.choices((Course.COARSE, Course.BINDING, course), (0.3, 0.4, 0.3))[0]
        group = _binding(rng) if part is Course.BINDING else _contrasts(rng, part)
        if any(one.unseen for one in group):
            continue
        base = group[0].facts
        # Each caption names what tells its drawing from the others of its group; of two figures
        # shapes and colours do, and few words more make it easier to learn.
        must = {fact for one in group for fact in base if one.facts[fact] != base[fact]}
        must, usual = (set(), 0.15) if part is Course.BINDING else (must, 0.5)
        chance = 0.0 if rng.random() < TERSE else usual
        yield [Pair(one, caption(rng, one, must=must, chance=chance)) for one in group]


def _contrasts(rng: random.Random, course: Course) -> list[Drawing]:
    size, changes = (8, FINE_CHANGES) if course is Course.MIXED else (4, CHANGES)
    group = [sample(rng)]
    while len(group) < size and not group[0].unseen:
        other = contrast(rng, group[0], changes)
        if not other.unseen and all(other.facts != one.facts for one in group):
            group.append(other)
    return group


def _binding(rng: random.Random) -> list[Drawing]:
    while True:
        drawing = sample(rng, "pair")
        first, second = drawing.figures
        if first.shape != second.shape and first.colour != second.colour:
            return [drawing, *rebound(rng, drawing)]


def write_training_set(
    directory: Path,
    *,
    count: int,
    seed: int,
    course: Course = Course.COARSE,
    report: Callable[[int], None] = lambda done: None,
) -> Path:
    """Write `count` JPEGs and `pairs.csv` (columns image, caption, group, label); its path.

    The same seed gives the same pairs. report is told how many are written.
    """
    sizes = [min(PART, count - first) for first in range(0, count, PART)]
    table = directory / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as opened, ProcessPoolExecutor() as pool:
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        done = 0
        write_part = partial(_write_part, directory, seed, course)
        for rows in pool.map(write_part, range(len(sizes)), sizes):
            writer.writerows(rows)
            done += len(rows)
            report(done)
    return table


def _write_part(
    directory: Path, seed: int, course: Course, part: int, size: int
) -> list[tuple[str, str, str, str]]:
    folder = directory / f"{part:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    qualities = random.Random(f"jpeg-{seed}-{part}")
    pairs = (
        (f"{part}-{number}", pair)
        for number, group in enumerate(training_groups(f"{seed}-{part}", course))
        for pair in group
    )
    rows = []
    for place, (group, pair) in enumerate(islice(pairs, size)):
        path = folder / f"{place:05d}.jpg"
        paint(pair.drawing, SIDE).save(path, quality=qualities.randint(*QUALITIES[course]))
        rows.append((f"{folder.name}/{path.name}", pair.caption.text, group, pair.label))
    return rows


def draw_gate() -> list[Pair]:
    """The gate set anew: each caption is true of one picture only, and some are unseen pairs."""
    rng = random.Random(GATE_SEED)
    gate: list[Pair] = []
    for kind, count in GATE_KINDS.items():
        wanted = len(gate) + count
        while len(gate) < wanted:
            drawing = sample(rng, kind.split()[-1])
            if drawing.unseen != kind.startswith("unseen"):
                continue
            pair = Pair(drawing, caption(rng, drawing, must={"position"} & set(drawing.facts)))
            if not any(_confused(pair, other) for other in gate):
                gate.append(pair)
    return gate


def _confused(one: Pair, other: Pair) -> bool:
    return one.caption.fits(other.drawing, of=one.drawing) or other.caption.fits(
        one.drawing, of=other.drawing
    )


def write_gate(pairs: list[Pair], path: Path = GATE) -> None:
    """Write a manifest: one pair a line, from which its picture can be painted."""
    lines = (
        json.dumps(
            asdict(pair.drawing)
            | {"caption": pair.caption.text, "named": sorted(pair.caption.named)}
        )
        for pair in pairs
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_gate(path: Path = GATE) -> list[Pair]:
    """The gate set that is committed, in its order."""
    return [_pair(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _pair(row: dict[str, Any]) -> Pair:
    text, named = row.pop("caption"), frozenset(row.pop("named"))
    figures = tuple(Figure(**figure) for figure in row.pop("figures"))
    return Pair(Drawing(figures=figures, **row), Caption(text, named))


def png(drawing: Drawing, side: int = SIDE) -> bytes:
    """The drawing's picture as PNG bytes."""
    buffer = io.BytesIO()
    paint(drawing, side).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    write_gate(draw_gate())

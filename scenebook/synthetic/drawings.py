"""What a generated picture shows, as a value; and which combinations training never sees."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 220, 50),
    "orange": (245, 140, 30),
    "purple": (140, 60, 180),
    "cyan": (60, 200, 220),
    "pink": (250, 130, 180),
}
SIZES = ("small", "large")
TEXTURES = ("solid", "striped", "dotted")
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "white": (240, 240, 240),
    "grey": (128, 128, 128),
    "black": (16, 16, 16),
    "brown": (110, 75, 45),
}
PATTERNS = ("plain", "checked", "grainy")
# Centre of a single figure, as shares of the picture's width and height.
POSITIONS: Mapping[str, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "top": (0.5, 0.22),
    "bottom": (0.5, 0.78),
    "left": (0.22, 0.5),
    "right": (0.78, 0.5),
    "top left": (0.22, 0.22),
    "top right": (0.78, 0.22),
    "bottom left": (0.22, 0.78),
    "bottom right": (0.78, 0.78),
}
COUNTS = (2, 3, 4)
# The relation of the first figure to the second; INVERSE is how the second stands to the first.
RELATIONS = ("left", "above")
INVERSE: Mapping[str, str] = {"left": "right", "above": "below", "right": "left", "below": "above"}

# A figure of this shape and colour that stands in this relation to another one.
Combination = tuple[str, str, str]
UNSEEN_SHARE = 0.2
COMBINATIONS: tuple[Combination, ...] = tuple(itertools.product(SHAPES, COLOURS, INVERSE))
UNSEEN: frozenset[Combination] = frozenset(
    random.Random(20).sample(COMBINATIONS, round(UNSEEN_SHARE * len(COMBINATIONS)))
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One shape with its looks."""

    shape: str
    colour: str
    size: str = "large"
    texture: str = "solid"


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure at a position, `count` figures alike anywhere, or two in a relation.

    Of two, the first is left of the second, or above it. seed fixes what the words leave open:
    exact places and sizes, shades, noise.
    """

    figures: tuple[Figure, ...]
    count: int = 1
    position: str | None = None
    relation: str | None = None
    background: str = "white"
    pattern: str = "plain"
    blurred: bool = False
    seed: int = 0

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """The (shape, colour, relation) of each of two figures; none without a relation."""
        if self.relation is None:
            return ()
        first, second = self.figures
        return (
            (first.shape, first.colour, self.relation),
            (second.shape, second.colour, INVERSE[self.relation]),
        )

    @property
    def unseen(self) -> bool:
        """Whether it has a combination that no training picture has."""
        return not UNSEEN.isdisjoint(self.combinations)

    @property
    def facts(self) -> dict[str, str]:
        """Every attribute by name; those of a second figure end in 2."""
        facts = {"background": self.background, "pattern": self.pattern}
        facts["blur"] = "blurred" if self.blurred else "sharp"
        if self.relation is not None:
            facts["relation"] = self.relation
        elif self.count > 1:
            facts["count"] = str(self.count)
        else:
            facts["position"] = self.position or "centre"
        for figure, suffix in zip(self.figures, ("", "2"), strict=False):
            facts |= {
                f"shape{suffix}": figure.shape,
                f"colour{suffix}": figure.colour,
                f"size{suffix}": figure.size,
                f"texture{suffix}": figure.texture,
            }
        return facts


def sample(rng: random.Random, kind: str | None = None) -> Drawing:
    """A random drawing: a `pair`, a `single` figure or a `group`; half of all are pairs."""
    kind = kind or rng.choices(("pair", "single", "group"), (0.5, 0.28, 0.22))[0]
    figure = _figure(rng)
    drawing = Drawing(
        (figure,),
        background=rng.choice(list(BACKGROUNDS)),
        pattern=rng.choice(PATTERNS),
        blurred=rng.random() < 0.15,
        seed=rng.getrandbits(32),
    )
    if kind == "single":
        return replace(drawing, position=rng.choice(list(POSITIONS)))
    if kind == "group":
        return replace(drawing, count=rng.choice(COUNTS))
    other = figure
    while (other.shape, other.colour) == (figure.shape, figure.colour):
        other = _figure(rng)
    return replace(drawing, figures=(figure, other), relation=rng.choice(RELATIONS))


def _figure(rng: random.Random) -> Figure:
    return Figure(
        shape=rng.choice(SHAPES),
        colour=rng.choice(list(COLOURS)),
        size=rng.choice(SIZES),
        texture=rng.choices(TEXTURES, (0.6, 0.2, 0.2))[0],
    )


def alternatives(drawing: Drawing, fact: str) -> list[Drawing]:
    """The drawing with one fact changed to each of its other values; for a relation, turned too."""
    if fact == "relation":
        turned = tuple(reversed(drawing.figures))
        across = "above" if drawing.relation == "left" else "left"
        return [
            replace(drawing, figures=turned),
            replace(drawing, relation=across),
            replace(drawing, figures=turned, relation=across),
        ]
    if fact == "blur":
        return [replace(drawing, blurred=not drawing.blurred)]
    if fact in OF_PICTURE:
        return [
            replace(drawing, **{fact: value})
            for value in OF_PICTURE[fact]
            if str(value) != drawing.facts[fact]
        ]
    name, which = fact.removesuffix("2"), int(fact.endswith("2"))
    figures = list(drawing.figures)
    changed = []
    for value in OF_FIGURE[name]:
        if value != drawing.facts[fact]:
            figures[which] = replace(drawing.figures[which], **{name: value})
            changed.append(replace(drawing, figures=tuple(figures)))
    return changed


OF_PICTURE: Mapping[str, Iterable[Any]] = {
    "background": BACKGROUNDS,
    "pattern": PATTERNS,
    "position": POSITIONS,
    "count": COUNTS,
}
OF_FIGURE: Mapping[str, Iterable[str]] = {
    "shape": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "texture": TEXTURES,
}
# How often a contrast changes what: first of all what binds words to places.
CHANGES: Mapping[str, float] = {
    "relation": 4, "colours": 2, "shapes": 2, "position": 4, "count": 4, "background": 1,
    "pattern": 1, "blur": 0.5, "shape": 1, "colour": 1, "size": 1, "texture": 1, "shape2": 0.5,
    "colour2": 0.5, "size2": 0.5, "texture2": 0.5,
}  # fmt: skip
# What a model learns last: which shape it is, and which of two is where.
FINE_CHANGES: Mapping[str, float] = {
    "relation": 5, "colours": 3, "shapes": 3, "position": 0.5, "count": 0.5, "background": 0.2,
    "pattern": 0.2, "blur": 0.5, "shape": 4, "colour": 0.5, "size": 0.5, "texture": 2,
    "shape2": 3, "colour2": 0.5, "size2": 0.5, "texture2": 1,
}  # fmt: skip


def contrast(
    rng: random.Random, drawing: Drawing, changes: Mapping[str, float] = CHANGES
) -> Drawing:
    """The drawing with little changed: what a model must look closely to tell from it."""
    possible = {name: odds for name, odds in changes.items() if name in drawing.facts}
    if drawing.relation is not None:
        possible |= {name: changes[name] for name in ("colours", "shapes")}
    change = rng.choices(list(possible), list(possible.values()))[0]
    if change in ("colours", "shapes"):
        changed = exchanged(drawing, change.removesuffix("s"))
    else:
        changed = rng.choice(alternatives(drawing, change))
    return replace(changed, seed=rng.getrandbits(32))


def exchanged(drawing: Drawing, name: str) -> Drawing:
    """The two figures with one attribute exchanged."""
    first, second = drawing.figures
    figures = (
        replace(first, **{name: getattr(second, name)}),
        replace(second, **{name: getattr(first, name)}),
    )
    return replace(drawing, figures=figures)


def rebound(rng: random.Random, drawing: Drawing) -> list[Drawing]:
    """Two figures with their colours, shapes or places exchanged: the same words, bound anew."""
    turned = replace(drawing, figures=tuple(reversed(drawing.figures)))
    others = [exchanged(drawing, "colour"), exchanged(drawing, "shape"), turned]
    return [replace(other, seed=rng.getrandbits(32)) for other in others]

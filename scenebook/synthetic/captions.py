"""Drawings in words, varied as people vary them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass

from scenebook.synthetic.drawings import INVERSE, Drawing

WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
    "solid": ("solid", "plain"),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
}
POSITIONS: Mapping[str, tuple[str, ...]] = {
    "centre": ("in the centre", "in the middle"),
    "top": ("at the top", "at the upper edge"),
    "bottom": ("at the bottom", "at the lower edge"),
    "left": ("on the left side", "at the left"),
    "right": ("on the right side", "at the right"),
    "top left": ("in the top left corner", "at the top left", "in the upper left"),
    "top right": ("in the top right corner", "at the top right", "in the upper right"),
    "bottom left": ("in the bottom left corner", "at the bottom left", "in the lower left"),
    "bottom right": ("in the bottom right corner", "at the bottom right", "in the lower right"),
}
RELATIONS: Mapping[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
}
BESIDE: Mapping[str, tuple[str, ...]] = {
    "left": ("on its left", "to its left"),
    "right": ("on its right", "to its right"),
    "above": ("above it",),
    "below": ("below it", "under it"),
}
NUMBERS = {2: "two", 3: "three", 4: "four"}
PLURALS = {"cross": "crosses"}
OPENINGS = (
    "",
    "",
    "",
    "a picture of ",
    "an image of ",
    "a photo of ",
    "a frame with ",
    "there is ",
)
ALWAYS = frozenset({"shape", "colour", "shape2", "colour2", "relation", "count"})


@dataclass(frozen=True, slots=True)
class Caption:
    """A text and the facts of the drawing that it names."""

    text: str
    named: frozenset[str]

    def fits(self, drawing: Drawing, of: Drawing) -> bool:
        """Whether the text, made of one drawing, is as true of another."""
        one, other = of.facts, drawing.facts
        return all(other.get(fact) == one[fact] for fact in self.named)


def caption(
    rng: random.Random, drawing: Drawing, *, must: Set[str] = frozenset(), chance: float = 0.5
) -> Caption:
    """A caption that names the facts in `must`, each other one by chance.

    Shapes and colours are always named, and so are a relation and a number. What goes without
    saying (solid, sharp) is said only if it must be.
    """
    facts = drawing.facts
    named = {
        fact
        for fact in facts
        if fact in must
        or fact in ALWAYS
        or (facts[fact] not in ("solid", "sharp") and rng.random() < chance)
    }
    text = _content(rng, drawing, named) + _ground(rng, facts, named)
    if "blur" in named:
        forms = ("{}, out of focus", "{}, blurry", "a blurred picture of {}")
        text = rng.choice(
            forms if drawing.blurred else ("{}, in focus", "a sharp picture of {}")
        ).format(text)
    elif " is " not in text:
        opening = rng.choice(OPENINGS)
        text = ("there are " if opening == "there is " and drawing.count > 1 else opening) + text
    return Caption(text, frozenset(named))


def _content(rng: random.Random, drawing: Drawing, named: Set[str]) -> str:
    facts = drawing.facts
    first = _noun(rng, facts, named, "")
    if drawing.relation is not None:
        return _pair(rng, _a(first), _a(_noun(rng, facts, named, "2")), drawing.relation)
    if drawing.count > 1:
        shape = facts["shape"]
        return (
            f"{NUMBERS[drawing.count]} {first.removesuffix(shape)}{PLURALS.get(shape, shape + 's')}"
        )
    where = f" {rng.choice(POSITIONS[facts['position']])}" if "position" in named else ""
    return _a(first) + where


def _noun(rng: random.Random, facts: Mapping[str, str], named: Set[str], suffix: str) -> str:
    words = [
        rng.choice(WORDS[facts[f"{name}{suffix}"]])
        for name in ("size", "texture")
        if f"{name}{suffix}" in named
    ]
    return " ".join([*words, facts[f"colour{suffix}"], facts[f"shape{suffix}"]])


def _pair(rng: random.Random, first: str, second: str, relation: str) -> str:
    """Two figures in either order: `first` is left of `second`, or above it."""
    if rng.random() < 0.5:
        first, second, relation = second, first, INVERSE[relation]
    between, beside = rng.choice(RELATIONS[relation]), rng.choice(BESIDE[INVERSE[relation]])
    return rng.choice(
        (
            f"{first} {between} {second}",
            f"{first} {between} {second}",
            f"{first} is {between} {second}",
            f"{first} with {second} {beside}",
            f"{first} and {second} {beside}",
        )
    )


def _ground(rng: random.Random, facts: Mapping[str, str], named: Set[str]) -> str:
    words = " ".join(facts[name] for name in ("pattern", "background") if name in named)
    form = rng.choice((" on a {} background", " on a {} ground", " in front of a {} background"))
    return form.format(words) if words else ""


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

"""The generated video `media/figures.mp4`: a drawing a scene, so what each shows is known.

`python -m tests.figures` makes it anew.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from scenebook.synthetic.drawings import BACKGROUNDS, Drawing, Figure, sample
from scenebook.synthetic.painting import paint
from tests.clips import write

VIDEO = Path(__file__).parent / "media" / "figures.mp4"
SEED = 3
SCENES = 40
SCENE_MS = 1200
FPS = 10
SIDE = 256

# What the demo and the tests ask for, each true of one scene alone.
ASKED = {
    "a red circle left of a blue square": Drawing(
        (Figure("circle", "red"), Figure("square", "blue")), relation="left"
    ),
    "a blue square left of a red circle": Drawing(
        (Figure("square", "blue"), Figure("circle", "red")), relation="left"
    ),
    "a green star above a yellow heart": Drawing(
        (Figure("star", "green"), Figure("heart", "yellow")), relation="above"
    ),
    "three small purple triangles": Drawing((Figure("triangle", "purple", "small"),), count=3),
    "a striped orange ring in the top left corner": Drawing(
        (Figure("ring", "orange", texture="striped"),), position="top left"
    ),
}


def drawings() -> list[Drawing]:
    """One drawing a scene; what is asked for is spread among random others."""
    rng = random.Random(SEED)
    asked = [replace(one, seed=rng.getrandbits(32)) for one in ASKED.values()]
    every = SCENES // len(asked)
    grounds = list(BACKGROUNDS)
    made: list[Drawing] = []
    while len(made) < SCENES:
        one = asked[len(made) // every] if len(made) % every == 3 else sample(rng)
        # Neighbours differ in their background, so that every cut is one to a detector too.
        one = replace(one, background=grounds[len(made) % len(grounds)], blurred=False)
        if len(made) % every == 3 or all(_unlike(one, wanted) for wanted in asked):
            made.append(one)
    return made


def _unlike(one: Drawing, other: Drawing) -> bool:
    pairs = ({(f.shape, f.colour) for f in drawing.figures} for drawing in (one, other))
    return next(pairs).isdisjoint(next(pairs))


def scene_of(text: str) -> int:
    """The index of the one scene that a text of ASKED is true of."""
    wanted = ASKED[text]
    (found,) = (
        index
        for index, one in enumerate(drawings())
        if (one.figures, one.count, one.relation) == (wanted.figures, wanted.count, wanted.relation)
    )
    return found


def make(path: Path = VIDEO) -> Path:
    """Write the video."""
    frames = SCENE_MS * FPS // 1000
    pictures = (np.asarray(paint(drawing, SIDE)) for drawing in drawings() for _ in range(frames))
    return write(path, pictures, fps=FPS, options={"preset": "medium", "crf": "24", "g": "12"})


if __name__ == "__main__":
    make()

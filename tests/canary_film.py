"""The film of `scenebook doctor --canary`: two drawings, so what each scene shows is known.

`python -m tests.canary_film` makes it anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scenebook.cli.canary_film import FILM
from scenebook.synthetic.drawings import Drawing, Figure
from scenebook.synthetic.painting import paint
from tests.clips import write

FPS = 10
SCENE_FRAMES = 20
SIDE = 256

DRAWN = (
    Drawing((Figure("circle", "red"), Figure("square", "blue")), relation="left", seed=1),
    Drawing((Figure("star", "green"),), background="black", seed=2),
)


def make(path: Path = FILM) -> Path:
    """Write the video."""
    pictures = (np.asarray(paint(one, SIDE)) for one in DRAWN for _ in range(SCENE_FRAMES))
    return write(path, pictures, fps=FPS, options={"preset": "medium", "crf": "24"})


if __name__ == "__main__":
    make()

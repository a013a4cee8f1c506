"""Drawings as pictures."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scenebook.synthetic.drawings import BACKGROUNDS, COLOURS, POSITIONS, Drawing, Figure

Point = tuple[float, float]
SUPERSAMPLED = 3
# Radius of a figure as a share of the picture's side, by kind of drawing and size.
RADII = {
    "single": {"small": (0.10, 0.13), "large": (0.20, 0.25)},
    "pair": {"small": (0.10, 0.12), "large": (0.17, 0.20)},
    "group": {"small": (0.085, 0.10), "large": (0.135, 0.155)},
}
NEAR, FAR = 0.27, 0.73
GRAINS, GRAIN_LEVELS = 64, 18


def paint(drawing: Drawing, side: int = 64) -> Image.Image:
    """The drawing as an RGB picture of side x side pixels; the same drawing, the same picture."""
    rng = random.Random(drawing.seed)
    large = SUPERSAMPLED * side
    canvas = _ground(drawing, large, rng)
    for figure, (x, y), radius in _layout(drawing, rng):
        _put(canvas, figure, (x * large, y * large), radius * large, rng)
    picture = canvas.resize((side, side), Image.Resampling.BOX)
    if drawing.blurred:
        picture = picture.filter(ImageFilter.GaussianBlur(side * rng.uniform(0.025, 0.035)))
    if drawing.pattern == "grainy":
        picture = _grainy(picture, np.random.default_rng(drawing.seed))
    return picture


def _grainy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grain as coarse at every size: 64 grains across."""
    noise = rng.normal(0, GRAIN_LEVELS, (GRAINS, GRAINS)).astype(np.float32)
    scaled = Image.fromarray(noise).resize(picture.size, Image.Resampling.NEAREST)
    pixels = np.asarray(picture) + np.asarray(scaled)[:, :, np.newaxis]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _shade(rgb: Sequence[int], rng: random.Random, spread: int = 14) -> tuple[int, int, int]:
    r, g, b = (max(0, min(255, value + rng.randint(-spread, spread))) for value in rgb)
    return r, g, b


def _ground(drawing: Drawing, side: int, rng: random.Random) -> Image.Image:
    colour = _shade(BACKGROUNDS[drawing.background], rng)
    ground = Image.new("RGB", (side, side), colour)
    if drawing.pattern == "checked":
        brush = ImageDraw.Draw(ground)
        darker = sum(colour) > 3 * 64
        other = tuple(value - 34 if darker else value + 40 for value in colour)
        cell = side / 8
        for row in range(8):
            for column in range(row % 2, 8, 2):
                box = (column * cell, row * cell, (column + 1) * cell, (row + 1) * cell)
                brush.rectangle(box, fill=other)
    return ground


def _layout(drawing: Drawing, rng: random.Random) -> list[tuple[Figure, Point, float]]:
    first = drawing.figures[0]
    if drawing.relation is not None:
        return _related(drawing, rng)
    if drawing.count > 1:
        return _scattered(first, drawing.count, rng)
    radius = rng.uniform(*RADII["single"][first.size])
    x, y = (at + rng.uniform(-0.05, 0.05) for at in POSITIONS[drawing.position or "centre"])
    inside = [min(max(at, radius + 0.01), 0.99 - radius) for at in (x, y)]
    return [(first, (inside[0], inside[1]), radius)]


def _related(drawing: Drawing, rng: random.Random) -> list[tuple[Figure, Point, float]]:
    along = (NEAR, FAR)
    across = 0.5 + rng.uniform(-0.18, 0.18)
    placed = []
    for figure, at in zip(drawing.figures, along, strict=True):
        radius = rng.uniform(*RADII["pair"][figure.size])
        one, two = at + rng.uniform(-0.05, 0.05), across + rng.uniform(-0.07, 0.07)
        placed.append((figure, (one, two) if drawing.relation == "left" else (two, one), radius))
    return placed


def _scattered(figure: Figure, count: int, rng: random.Random) -> list[tuple[Figure, Point, float]]:
    radii = RADII["group"][figure.size]
    while True:
        placed: list[tuple[Figure, Point, float]] = []
        for _ in range(60):
            radius = rng.uniform(*radii)
            at = (
                rng.uniform(radius + 0.02, 0.98 - radius),
                rng.uniform(radius + 0.02, 0.98 - radius),
            )
            if all(math.dist(at, other) > radius + size + 0.03 for _, other, size in placed):
                placed.append((figure, at, radius))
            if len(placed) == count:
                return placed


def _put(canvas: Image.Image, figure: Figure, at: Point, radius: float, rng: random.Random) -> None:
    colour = _shade(COLOURS[figure.colour], rng)
    mask = Image.new("L", canvas.size, 0)
    _outline(ImageDraw.Draw(mask), figure.shape, at, radius, math.radians(rng.uniform(-8, 8)))
    canvas.paste(_cloth(figure, colour, canvas.size, at, radius), mask=mask)


def _cloth(
    figure: Figure, colour: tuple[int, int, int], size: tuple[int, int], at: Point, radius: float
) -> Image.Image:
    """What the figure is cut from; stripes and dots are darker than its colour."""
    cloth = Image.new("RGB", size, colour)
    if figure.texture == "solid":
        return cloth
    brush = ImageDraw.Draw(cloth)
    dark = tuple(int(value * 0.35) for value in colour)
    x, y = at
    step = size[0] / 13
    steps = range(-math.ceil(radius / step) - 1, math.ceil(radius / step) + 2)
    for row in steps:
        if figure.texture == "striped":
            top = y + row * step
            brush.rectangle((x - radius, top, x + radius, top + 0.45 * step), fill=dark)
            continue
        for column in steps:
            dot = x + (column + 0.5 * (row % 2)) * step, y + row * step
            reach = 0.25 * step
            brush.ellipse(
                (dot[0] - reach, dot[1] - reach, dot[0] + reach, dot[1] + reach), fill=dark
            )
    return cloth


def _outline(brush: ImageDraw.ImageDraw, shape: str, at: Point, radius: float, turn: float) -> None:
    x, y = at
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        brush.ellipse(box, fill=255)
    elif shape == "ring":
        brush.ellipse(box, fill=255)
        hole = 0.55 * radius
        brush.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    else:
        brush.polygon([_turned(point, at, radius, turn) for point in CORNERS[shape]], fill=255)


def _turned(point: Point, at: Point, radius: float, turn: float) -> Point:
    x, y = point
    return (
        at[0] + radius * (x * math.cos(turn) - y * math.sin(turn)),
        at[1] + radius * (x * math.sin(turn) + y * math.cos(turn)),
    )


def _star() -> list[Point]:
    reach = (1.0, 0.42)
    return [
        (reach[i % 2] * math.sin(math.pi * i / 5), -reach[i % 2] * math.cos(math.pi * i / 5))
        for i in range(10)
    ]


def _heart() -> list[Point]:
    # The usual parametric heart, about 32 wide and 29 high.
    points = []
    for i in range(48):
        t = 2 * math.pi * i / 48
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -(y + 2.5) / 16))
    return points


CORNERS: dict[str, list[Point]] = {
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": [(0, -0.95), (0.95, 0.75), (-0.95, 0.75)],
    "diamond": [(0, -1), (0.72, 0), (0, 1), (-0.72, 0)],
    "cross": [
        (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),
        (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3),
    ],
    "star": _star(),
    "heart": _heart(),
}  # fmt: skip

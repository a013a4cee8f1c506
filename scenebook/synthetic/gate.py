"""Measures a model on the gate set: recall, unseen combinations, each attribute, two baselines."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenebook.synthetic.captions import caption
from scenebook.synthetic.dataset import Pair, png
from scenebook.synthetic.drawings import BACKGROUNDS, COLOURS, alternatives
from scenebook.synthetic.painting import paint
from scenebook.training.recall import Recall, recall_at_1

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GateReport:
    """Recall@1 among all pictures of the gate, of all queries and of the unseen ones alone.

    chance and histogram are the baselines. attributes: how often the true caption is nearer to the
    picture than captions with another value of one attribute, and how often chance would have it,
    asked of every other picture.
    """

    recall: Recall
    unseen: Recall
    chance: float
    histogram: Recall
    attributes: Mapping[str, tuple[float, float]]

    def lines(self) -> list[str]:
        """The report as a table for people."""
        rows = [
            f"{'recall@1':<26}{'text to image':>15}{'image to text':>15}{'queries':>9}",
            _row("the model", self.recall),
            _row("  unseen combinations", self.unseen),
            _row("colour histogram", self.histogram),
            f"{'chance':<26}{self.chance:>15.3f}{self.chance:>15.3f}",
            f"{'attribute':<26}{'accuracy':>15}{'chance':>15}",
        ]
        for name, (accuracy, chance) in self.attributes.items():
            rows.append(f"{name:<26}{accuracy:>15.3f}{chance:>15.3f}")
        return rows


def _row(name: str, recall: Recall) -> str:
    return f"{name:<26}{recall.text_to_image:>15.3f}{recall.image_to_text:>15.3f}{recall.pairs:>9}"


def measure(
    pairs: Sequence[Pair],
    encode_images: Callable[[list[bytes]], Vectors],
    encode_texts: Callable[[list[str]], Vectors],
) -> GateReport:
    """Measure on these pairs; the encoders give (n, d) vectors of norm 1 for PNGs and texts."""
    images = encode_images([png(pair.drawing) for pair in pairs])
    texts = encode_texts([pair.caption.text for pair in pairs])
    unseen = np.array([pair.drawing.unseen for pair in pairs])
    return GateReport(
        recall=recall_at_1(images, texts),
        unseen=recall_at_1(images, texts, asked=unseen),
        chance=1 / len(pairs),
        histogram=recall_at_1(*_colour_histograms(pairs)),
        attributes=_attributes(pairs, images, encode_texts),
    )


def _attributes(
    pairs: Sequence[Pair], images: Vectors, encode_texts: Callable[[list[str]], Vectors]
) -> dict[str, tuple[float, float]]:
    """Each named fact of each drawing against all its other values, in like words."""
    asked: list[tuple[str, int, range]] = []
    texts: list[str] = []
    for place, pair in list(enumerate(pairs))[::2]:
        for fact in sorted(pair.caption.named):
            choices = [pair.drawing] + [
                one for one in alternatives(pair.drawing, fact) if one.facts != pair.drawing.facts
            ]
            asked.append(
                (fact.removesuffix("2"), place, range(len(texts), len(texts) + len(choices)))
            )
            texts += [
                caption(random.Random(place), one, must=pair.caption.named, chance=0.0).text
                for one in choices
            ]
    vectors = encode_texts(texts)
    right: dict[str, list[bool]] = defaultdict(list)
    chances: dict[str, list[float]] = defaultdict(list)
    for name, place, choice in asked:
        nearest = int(np.argmax(vectors[choice.start : choice.stop] @ images[place]))
        right[name].append(nearest == 0)
        chances[name].append(1 / len(choice))
    return {
        name: (float(np.mean(right[name])), float(np.mean(chances[name]))) for name in sorted(right)
    }


def _colour_histograms(pairs: Sequence[Pair]) -> tuple[Vectors, Vectors]:
    """What colours alone can tell: the share of each, and which of them are named."""
    palette = {**COLOURS, **BACKGROUNDS}
    shades = np.array(list(palette.values()), dtype=np.float32)
    images, texts = [], []
    for pair in pairs:
        pixels = np.asarray(paint(pair.drawing), dtype=np.float32).reshape(-1, 1, 3)
        nearest = np.linalg.norm(pixels - shades, axis=2).argmin(axis=1)
        images.append(np.bincount(nearest, minlength=len(palette)))
        words = pair.caption.text.split()
        texts.append([words.count(colour) for colour in palette])
    return _unit(images), _unit(texts)


def _unit(rows: Sequence[Sequence[float] | NDArray[np.int64]]) -> Vectors:
    vectors = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), dtype=np.float32)

"""What an exported model must answer as torch does before it is used, and the measure of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import ExportRefused
from scenebook.synthetic.dataset import png, read_gate

LEAST_COSINE = 0.99
NORM_TOLERANCE = 1e-3
# Every so many of the gate set's pictures, and their side in pixels.
EVERY = 5
SIDE = 128
# Guessing finds one picture of any number, on average; five or more happen in 4 gates of 1 000.
GUESSED = 4

Matrix = NDArray[np.float32]

# Pairs that mean the same: each must find the other.
SENTENCES = (
    ("A cat sleeps on the sofa.", "The kitten is napping on the couch."),
    ("He plays the piano in a concert hall.", "A pianist performs on stage."),
    ("The train leaves the station at noon.", "At twelve o'clock the train departs."),
    ("She slices tomatoes for a salad.", "A woman is cutting vegetables in the kitchen."),
    ("Heavy rain flooded the streets.", "After the storm the roads were under water."),
    ("The rocket lifts off from the launch pad.", "A spacecraft starts its way into orbit."),
    ("Two children build a sandcastle.", "Kids are playing with sand on the beach."),
    ("Stocks fell sharply on Monday.", "Share prices dropped at the start of the week."),
    ("The surgeon washes his hands.", "A doctor prepares for an operation."),
    ("A dog runs after a ball in the park.", "The puppy is chasing its toy on the grass."),
    ("Snow covers the mountains.", "The peaks are white in winter."),
    ("The judge read out the verdict.", "In court the sentence was announced."),
    ("Bees collect nectar from flowers.", "Insects are visiting the blossoms."),
    ("He repairs the engine of an old car.", "A mechanic fixes a vintage automobile."),
    ("The crowd cheers after the goal.", "Football fans celebrate a point for their team."),
    ("She paints a portrait in oil.", "An artist works on a picture of a face."),
    ("The teacher explains fractions.", "In the maths lesson pupils learn to divide numbers."),
    ("Fishermen pull in their nets.", "A crew on a boat is hauling its catch."),
    ("The baby laughs in her cradle.", "An infant is giggling in bed."),
    ("A tailor measures the customer's shoulders.", "The suit is being fitted for a man."),
    ("My fellow Americans, ask not what your country can do.", "A president's famous speech."),
    ("The recipe needs flour, eggs and sugar.", "These are the ingredients of the cake."),
    ("Der Zug fährt um acht Uhr ab.", "Der Zug startet um 8 Uhr am Morgen."),
    ("The password must have 12 characters!", "Choose a long secret word for your account."),
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of a gate: each query's, and of what it is to find; for sentences they are the same.

    wanted names the place of what each query should find.
    """

    queries: Matrix
    items: Matrix
    wanted: Sequence[int]

    def similarities(self) -> Matrix:
        """(queries, items); a sentence does not find itself."""
        return self._without_itself(self.queries @ self.items.T)

    def stored(self) -> Matrix:
        """The similarities after the rounding that the database does: it keeps half precision."""
        queries, items = (
            side.astype(np.float16).astype(np.float32) for side in (self.queries, self.items)
        )
        return self._without_itself(queries @ items.T)

    def _without_itself(self, found: Matrix) -> Matrix:
        if self.queries is self.items:
            np.fill_diagonal(found, -1.0)
        return found


def gate_items() -> list[tuple[bytes, str]]:
    """Pictures as PNG bytes, and the caption that only this one of them deserves."""
    return [(png(pair.drawing, SIDE), pair.caption.text) for pair in read_gate()[::EVERY]]


def gate_sentences() -> tuple[list[str], list[int]]:
    """Sentences, two texts longer than most windows, and the place of each one's counterpart."""
    pairs = [*SENTENCES, tuple(" ".join(texts) for texts in zip(*SENTENCES, strict=True))]
    texts = [text for pair in pairs for text in pair]
    return texts, [place ^ 1 for place in range(len(texts))]


def compared(original: Encoded, export: Encoded) -> dict[str, float]:
    """What the comparison measures; `judge` says whether it is enough.

    Of the queries, those are asked whose first item torch finds by more than its noise: by more
    than rounding to stored vectors changes any similarity. A model that knows no more of the gate
    than guessing would, such as one with random weights, has no ranking to keep: none is asked.
    """
    cosines = {"query": _cosines(original.queries, export.queries)}
    if original.queries is not original.items:
        cosines["item"] = _cosines(original.items, export.items)
    figures = {f"{name}_cosine_min": float(found.min()) for name, found in cosines.items()}
    figures |= {f"{name}_cosine_mean": float(found.mean()) for name, found in cosines.items()}
    norms = np.linalg.norm(np.concatenate([export.queries, export.items]), axis=1)
    figures["norm_error_max"] = float(np.abs(norms - 1).max())

    reference, rows = original.similarities(), np.arange(len(original.queries))
    noise = float(np.abs(original.stored() - reference).max())
    first, again = reference.argmax(axis=1), export.similarities().argmax(axis=1)
    wanted = np.array(original.wanted)
    known = int((first == wanted).sum())
    lead = reference[rows, first] - reference[rows, again]
    return figures | {
        "queries": float(len(rows)),
        "torch_recall_at_1": known / len(rows),
        "export_recall_at_1": float((again == wanted).mean()),
        "ranking_asked": float(known > GUESSED),
        "noise": noise,
        "another_first": float((lead > noise).sum()),
        "lead_max": float(lead.max()),
    }


def judge(figures: dict[str, float]) -> None:
    """Raise ExportRefused, with the figure and what it should have been, unless all is the same."""
    if not figures["norm_error_max"] <= NORM_TOLERANCE:  # NaN is refused too
        raise ExportRefused(
            f"Its vectors have norms up to {figures['norm_error_max']:g} away from 1; at most "
            f"{NORM_TOLERANCE:g} is allowed."
        )
    for name in ("query", "item"):
        least = figures.get(f"{name}_cosine_min", 1.0)
        if not least >= LEAST_COSINE:
            raise ExportRefused(
                f"The lowest cosine of its {name} vectors to torch's is {least:.4f}; it must be at "
                f"least {LEAST_COSINE:g}."
            )
    if figures["ranking_asked"] and figures["another_first"]:
        raise ExportRefused(
            f"{figures['another_first']:.0f} of {figures['queries']:.0f} gate queries find another "
            f"first than in torch, which prefers its own by up to {figures['lead_max']:.4f}; all "
            "must find the same."
        )


def _cosines(one: Matrix, other: Matrix) -> Matrix:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Matrix = (one * other).sum(axis=1) / lengths
    return found

"""Which label a picture deserves, and how sure that is: ranking, probabilities, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import InvalidQuery

Confidence = Literal["high", "medium", "low"]
Floats = NDArray[np.float32] | NDArray[np.float64]

THRESHOLD = 0.7
# Least probability of a confidence.
HIGH, MEDIUM = 0.9, 0.7
# Where CLIP's training ends, for a model that does not say its own.
USUAL_SCALE = 100.0
# Where fit_logit_scale looks. CLIP's own training keeps the scale at 100 or below.
SCALES = (0.01, 1000.0)
HALVINGS = 60
# A slope of the likelihood as small as rounding.
FLAT = 1e-12


class Ranked(TypedDict):
    """A label with its probability among the labels asked, and its cosine with the picture."""

    label: str
    probability: float
    similarity: float


class Classification(TypedDict):
    """All labels, most probable first; `calibrated` says what the probabilities are worth."""

    best: Ranked
    ranked: list[Ranked]
    calibrated: bool


class Verification(TypedDict):
    """Whether a picture shows what a label says.

    is_match: no other label is more probable, and the probability reaches the threshold.
    similarity: the cosine of picture and label; it says little alone, and nothing compares it with
    the threshold. confidence: of the label, "high" from a probability of 0.9, "medium" from 0.7,
    else "low". best: the most probable label of all. alternatives: the others, best first.
    calibrated: whether the scale of the probabilities was fitted to labelled pictures.
    """

    is_match: bool
    similarity: float
    confidence: Confidence
    class_name: str
    probability: float
    threshold: float
    best: Ranked
    alternatives: list[Ranked]
    calibrated: bool


def label_vector(prompts: Sequence[Floats]) -> NDArray[np.float32]:
    """The vector that stands for a label: the mean of its prompts' unit vectors, of norm 1."""
    total = np.sum(np.asarray(prompts, dtype=np.float64), axis=0)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


def probabilities(similarities: Floats, logit_scale: float) -> NDArray[np.float64]:
    """Softmax of logit_scale times cosines along the last axis; float64, the shape that came."""
    logits = logit_scale * np.asarray(similarities, dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def classification(
    labels: Sequence[str], similarities: Floats, *, logit_scale: float, calibrated: bool
) -> Classification:
    """The labels ranked by their cosines with one picture, (labels,); ties in the order given."""
    # Rounding takes them a little beyond 1.
    cosines = np.clip(np.asarray(similarities, dtype=np.float64), -1.0, 1.0)
    shares = probabilities(cosines, logit_scale)
    order = np.argsort(-shares, kind="stable")
    ranked = [Ranked(
        label=labels[place],
        probability=float(shares[place]),
        similarity=float(cosines[place]),
    ) for place in order]  # fmt: skip
    return Classification(best=ranked[0], ranked=ranked, calibrated=calibrated)


def verification(class_name: str, found: Classification, *, threshold: float) -> Verification:
    """The verdict on one label of a classification in which it competed with others."""
    (own,) = (one for one in found["ranked"] if one["label"] == class_name)
    best = own if own["probability"] >= found["best"]["probability"] else found["best"]
    return Verification(
        is_match=best is own and own["probability"] >= threshold,
        similarity=own["similarity"],
        confidence=confidence(own["probability"]),
        class_name=class_name,
        probability=own["probability"],
        threshold=threshold,
        best=best,
        alternatives=[one for one in found["ranked"] if one is not own],
        calibrated=found["calibrated"],
    )


def confidence(probability: float) -> Confidence:
    """A probability in a word."""
    return "high" if probability >= HIGH else "medium" if probability >= MEDIUM else "low"


def require_threshold(threshold: float) -> None:
    """Raise InvalidQuery unless a threshold is a probability."""
    if not 0 <= threshold <= 1:  # also refuses NaN
        raise InvalidQuery(f"The threshold is a probability from 0 to 1, not {threshold:g}.")


def fit_logit_scale(similarities: Floats, true_label: NDArray[np.int64]) -> float:
    """The scale under which softmax(scale * cosines) fits labelled pictures best.

    similarities: (n, labels) cosines; true_label: (n,) columns. This is temperature scaling (Guo et
    al., ICML 2017): one number by least negative log likelihood, so no ranking changes. Fit it to
    pictures that the model was not trained on. Where no picture is mistaken, no finite scale is
    best, and the answer is the largest that is considered, 1000. Raises ValueError without data.
    """
    cosines = np.asarray(similarities, dtype=np.float64)
    if cosines.ndim != 2 or len(cosines) == 0 or len(cosines) != len(true_label):
        raise ValueError("A scale is fitted to (n, labels) cosines and n true labels, n > 0.")
    own = cosines[np.arange(len(cosines)), true_label]
    low, high = (math.log(scale) for scale in SCALES)
    # The likelihood is concave in the scale: its slope falls, and where it is 0 is the answer.
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (probabilities(cosines, math.exp(middle)) * cosines).sum(axis=1)
        if float((own - expected).mean()) > -FLAT:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def expected_calibration_error(
    shares: Floats, true_label: NDArray[np.int64], *, bins: int = 15
) -> float:
    """How far probabilities are from the truth, 0 (calibrated) to 1.

    shares: (n, labels) probabilities; true_label: (n,) columns. Pictures are put into bins of equal
    width by their best label's probability; in each, the mean probability is compared with how many
    best labels are right, and the differences are weighted by the pictures in the bin.
    """
    if len(shares) == 0 or len(shares) != len(true_label):
        raise ValueError("The calibration is measured on (n, labels) probabilities, n > 0.")
    best = shares.max(axis=1)
    right = shares.argmax(axis=1) == true_label
    place = np.minimum((best * bins).astype(np.int64), bins - 1)
    inside = [place == one for one in range(bins)]
    gaps = [abs(float(right[one].mean() - best[one].mean())) * one.mean()
            for one in inside if one.any()]  # fmt: skip
    return float(sum(gaps))

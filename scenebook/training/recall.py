"""How well pictures and captions find one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of queries whose own partner is the most similar of all, each way; 0 to 1."""

    text_to_image: float
    image_to_text: float
    pairs: int

    def __str__(self) -> str:
        return (
            f"text to image {self.text_to_image:.3f}, image to text {self.image_to_text:.3f} "
            f"({self.pairs} pairs)"
        )


def recall_at_1(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    *,
    asked: NDArray[np.bool_] | None = None,
) -> Recall:
    """Recall@1 of (n, d) unit vectors whose rows belong together; a tie counts as a miss.

    asked: (n,) which rows are queries; every row is a candidate. Default: all.
    """
    similarities = np.asarray(texts @ images.T, dtype=np.float64)
    own = np.diagonal(similarities).copy()
    np.fill_diagonal(similarities, -np.inf)
    chosen = np.ones(len(own), dtype=bool) if asked is None else asked
    return Recall(
        text_to_image=float(np.mean((own > similarities.max(axis=1))[chosen])),
        image_to_text=float(np.mean((own > similarities.max(axis=0))[chosen])),
        pairs=int(chosen.sum()),
    )

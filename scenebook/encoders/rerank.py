"""Cross-encoders in a child: how well each text answers a query, read together with it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.errors import ModelUnavailable, ScenebookError, Unavailable

# Few texts at a time, so that a deadline is noticed soon after it has passed.
BATCH = 8
# Tokens of query and text that are read; most cross-encoders were trained on no more.
WINDOW = 512


class RerankModel:
    """One loaded sentence-transformers CrossEncoder with one score a pair."""

    def __init__(self, *, name: str, threads: int) -> None:
        self.model = _load(name, threads)
        if self.model.num_labels != 1:
            raise ModelUnavailable(
                f"{name} gives {self.model.num_labels} numbers for a text, and so cannot rank. Set "
                "RERANK_MODEL to a cross-encoder that gives one."
            )
        self.scores("warm up", ["One sentence."], budget_s=math.inf)

    def scores(self, query: str, texts: Sequence[str], *, budget_s: float) -> list[float]:
        """The relevance of each text as the model says it; most say 0 to 1.

        Raises Unavailable(code="too_slow") between two batches once budget_s seconds have passed.
        """
        deadline = time.monotonic() + budget_s
        # Texts of like length together: the shorter ones of a batch are filled up to the longest.
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        scores = [0.0] * len(texts)
        for start in range(0, len(places), BATCH):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Only {start} of {len(texts)} texts were read in time.", code="too_slow"
                )
            batch = places[start : start + BATCH]
            pairs = [(query, texts[place]) for place in batch]
            found = self.model.predict(pairs, batch_size=BATCH, show_progress_bar=False)
            for place, score in zip(batch, found, strict=True):
                scores[place] = float(score)
        if not all(map(math.isfinite, scores)):
            raise ScenebookError("The cross-encoder gave a score that is not finite.")
        return scores


def _load(name: str, threads: int) -> Any:
    if Path(name).is_absolute() and not Path(name).exists():
        raise ModelUnavailable(f"There is no cross-encoder at {name}. Check RERANK_MODEL.")
    try:
        declare_missing_operators()
        import torch
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelUnavailable(
            f"Re-ranking needs the packages of the extra 'text' ({error}): pip install "
            "'scenebook[text]', or unset RERANK_MODEL."
        ) from error
    torch.set_num_threads(threads)
    try:
        model = CrossEncoder(name, device="cpu", trust_remote_code=False)
        # Some tokenizers know no limit, and beyond its positions a model crashes.
        model.max_seq_length = min(model.max_seq_length or WINDOW, WINDOW)
        return model.float()
    except Exception as error:  # the door to the hub's and three libraries' loaders
        raise ModelUnavailable(
            f"Cross-encoder {name} cannot be loaded: {error}. Check RERANK_MODEL, or unset it."
        ) from error

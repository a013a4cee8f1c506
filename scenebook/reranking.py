"""Re-ranking: a cross-encoder reads the best hits' words with the query, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from scenebook.encoders.inference import InferenceChild
from scenebook.errors import DeadlineExceeded
from scenebook.settings import Settings
from scenebook.turns import Turns

# A page is read in one glance; more would cost the time of several other hits.
TEXT_CHARS = 2000
# A child that is this late is taken for one that hangs, and killed. One that is merely slow gives
# up by itself, which costs no model.
HANGS_S = 1.0


class Reranker(Protocol):
    """Reads texts together with a query."""

    def rank(self, query: str, texts: Sequence[str]) -> list[float]:
        """The relevance of each text, in their order, higher is better. Raises ScenebookError."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """The new order, as places in the old one, and the relevance of what stood at each old place.

    relevance is None where there was no text. It is what the model says, and no probability.
    """

    order: tuple[int, ...]
    relevance: tuple[float | None, ...]


def rerank(reranker: Reranker, query: str, texts: Sequence[str]) -> Reranked:
    """Order hits by what a cross-encoder says of their texts.

    A hit without words keeps its place: nothing was said of it, and it may be there for what is
    seen. The others take the places left, most relevant first, equals as they stood. Raises
    ScenebookError; the old order is as good as before then.
    """
    worded = [place for place, text in enumerate(texts) if text.strip()]
    if not worded:
        return Reranked(tuple(range(len(texts))), (None,) * len(texts))
    scores = reranker.rank(query, [texts[place][:TEXT_CHARS] for place in worded])
    relevance: list[float | None] = [None] * len(texts)
    for place, score in zip(worded, scores, strict=True):
        relevance[place] = score
    best = sorted(range(len(worded)), key=lambda one: -scores[one])
    order = list(range(len(texts)))
    for place, one in zip(worded, best, strict=True):
        order[place] = worded[one]
    return Reranked(tuple(order), tuple(relevance))


class CrossEncoderReranker:
    """A Reranker of RERANK_MODEL, which any number of threads may ask.

    It has a child of its own: one that hangs is killed, and that must not cost the models which
    encode queries. `rank` returns or raises within RERANK_TIMEOUT_S, whatever the child does; the
    model's loading goes on in the background. Besides Unavailable and DeadlineExceeded it raises
    ModelUnavailable, remembered and tried again after a while, and ChildDied.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit_s = settings.rerank_timeout_s
        self._inference = InferenceChild(settings)
        self._turns = Turns("reranker")

    def rank(self, query: str, texts: Sequence[str]) -> list[float]:
        """As Reranker.rank."""
        work = partial(self._scores, query, list(texts), time.monotonic() + self._limit_s)
        return self._turns.do(work, within_s=self._limit_s)

    def load(self) -> None:
        """Load the model, however long that takes, unless it is loaded and lives."""
        self._turns.do(lambda: self._inference.load("rerank"), within_s=None)

    def close(self) -> None:
        """End the child; who still waits gets Unavailable."""
        self._turns.close()
        self._inference.close()
        self._turns.join()

    def _scores(self, query: str, texts: list[str], deadline: float) -> list[float]:
        self._inference.load("rerank")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("The cross-encoder was loaded too late for this search.")
        message = {"op": "rerank", "query": query, "texts": texts, "budget_s": left_s}
        reply = self._inference.ask("rerank", message, timeout_s=left_s + HANGS_S)
        scores: list[float] = reply["scores"]
        return scores

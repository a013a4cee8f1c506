"""Re-ranking: the cross-encoder's own order, in bounded time, or the order that there was."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from scenebook.encoders.inference import CHILD_MODULE
from scenebook.errors import ModelUnavailable, ScenebookError, Unavailable
from scenebook.reranking import TEXT_CHARS, CrossEncoderReranker, Reranked, rerank
from scenebook.settings import load
from tests.checkpoints import RANKED, RANKED_FOR, checkpoints

PATIENCE_S = 20


class Lengths:
    """Longer is better."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked = list(texts)
        return [float(len(text)) for text in texts]


class TestOrder:
    def test_the_most_relevant_comes_first_and_equals_stay_as_they_stood(self) -> None:
        found = rerank(Lengths(), "q", ["b", "aaa", "c", "aa"])
        assert found == Reranked(order=(1, 3, 0, 2), relevance=(1.0, 3.0, 1.0, 2.0))

    def test_a_hit_without_words_keeps_its_place(self) -> None:
        found = rerank(Lengths(), "q", ["a", "", "aaa", " \n", "aa"])
        assert found.order == (2, 1, 4, 3, 0)
        assert found.relevance == (1.0, None, 3.0, None, 2.0)

    def test_nothing_to_read_asks_no_model(self) -> None:
        model = Lengths()
        assert rerank(model, "q", ["", ""]) == Reranked((0, 1), (None, None))
        assert rerank(model, "q", []) == Reranked((), ())
        assert model.asked == []

    def test_a_long_text_is_cut(self) -> None:
        model = Lengths()
        rerank(model, "q", ["word " * TEXT_CHARS])
        assert [len(text) for text in model.asked] == [TEXT_CHARS]


def children() -> list[psutil.Process]:
    """The inference children of this process."""
    return [one for one in psutil.Process().children() if CHILD_MODULE in one.cmdline()]


class TestCrossEncoder:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A small cross-encoder with what it says of RANKED."""
        return checkpoints(tmp_path_factory) / "reranker"

    @pytest.fixture(scope="class")
    def reranker(self, model: Path) -> Iterator[CrossEncoderReranker]:
        made = CrossEncoderReranker(load({"RERANK_MODEL": str(model), "RERANK_TIMEOUT_S": "1"}))
        made.load()
        yield made
        made.close()

    def test_the_order_is_what_the_cross_encoder_itself_says(
        self, reranker: CrossEncoderReranker, model: Path
    ) -> None:
        said = json.loads((model / "said.json").read_text())
        found = rerank(reranker, RANKED_FOR, RANKED)
        assert found.relevance == pytest.approx(said, rel=1e-4)
        assert list(found.order) == sorted(range(len(said)), key=lambda place: -said[place])
        assert len(set(said)) > 5

    def test_a_text_beyond_the_models_window_is_read_as_far_as_it_goes(
        self, reranker: CrossEncoderReranker
    ) -> None:
        (score,) = reranker.rank(RANKED_FOR, ["sea " * 400])
        assert 0 <= score <= 1

    def test_a_model_that_is_too_slow_gives_up_and_stays(
        self, reranker: CrossEncoderReranker
    ) -> None:
        before = children()
        message = {"op": "rerank", "query": "q", "texts": list(RANKED), "budget_s": 0.0}
        with pytest.raises(Unavailable, match=f"Only 0 of {len(RANKED)} texts"):
            reranker._inference.ask("rerank", message, timeout_s=PATIENCE_S)
        assert children() == before

    def test_a_child_that_hangs_is_killed_and_the_search_waits_no_longer(
        self, reranker: CrossEncoderReranker
    ) -> None:
        (hanging,) = children()
        hanging.suspend()
        with pytest.raises(Unavailable) as late:
            rerank(reranker, RANKED_FOR, RANKED)
        assert late.value.code == "model_busy"
        hanging.wait(PATIENCE_S)
        # Its successor loads in the background; who asks meanwhile is refused within the limit.
        with pytest.raises(ScenebookError):
            reranker.rank(RANKED_FOR, RANKED)

    def test_a_missing_model_is_named_at_once_and_every_time(self, tmp_path: Path) -> None:
        nowhere = str(tmp_path / "nowhere")
        reranker = CrossEncoderReranker(load({"RERANK_MODEL": nowhere, "RERANK_TIMEOUT_S": "10"}))
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="RERANK_MODEL"):
                reranker.rank(RANKED_FOR, RANKED)
        reranker.close()

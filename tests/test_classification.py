"""Labels and probabilities without a model: what competes, what ranks, what is calibrated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenebook.classification import (
    Classification,
    classification,
    confidence,
    expected_calibration_error,
    fit_logit_scale,
    label_vector,
    probabilities,
    require_threshold,
    verification,
)
from scenebook.errors import InvalidQuery
from scenebook.labels import EVERYDAY, TEMPLATES, distinct, prompts, rivals, same, with_article

LABELS = ("bottle", "cup", "phone")


def ranked(*cosines: float, scale: float = 10.0) -> Classification:
    similarities = np.array(cosines, dtype=np.float32)
    return classification(LABELS, similarities, logit_scale=scale, calibrated=True)


def drawn(scale: float, *, pictures: int = 20_000, labels: int = 8, seed: int = 0) -> tuple:
    """Cosines, and true labels drawn with the probabilities that the cosines and a scale give."""
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-0.2, 0.4, (pictures, labels))
    shares = probabilities(cosines, scale)
    truth = (shares.cumsum(axis=1) < rng.uniform(size=(pictures, 1))).sum(axis=1)
    return cosines, np.minimum(truth, labels - 1)


class TestPrompts:
    def test_a_thing_is_asked_for_in_every_template(self) -> None:
        asked = prompts("bottle")
        assert len(set(asked)) == len(TEMPLATES) > 1
        assert {"a bottle", "a photo of a bottle"} <= set(asked)

    def test_a_sentence_is_asked_as_it_is(self) -> None:
        for text in ("Two men shake hands.", "there is a red circle", "Is it raining?"):
            assert prompts(text) == [text]

    @pytest.mark.parametrize(
        ("label", "thing"),
        [
            ("bottle", "a bottle"), ("umbrella", "an umbrella"), ("hourglass", "an hourglass"),
            ("unicycle", "a unicycle"), ("unidentified object", "an unidentified object"),
            ("European city", "a European city"), ("x-ray", "an x-ray"), ("bus", "a bus"),
            ("dress", "a dress"), ("dogs", "dogs"), ("children", "children"), ("grass", "grass"),
            ("two red circles", "two red circles"), ("an apple", "an apple"), ("3 cars", "3 cars"),
            ("the sea", "the sea"), ("my house", "my house"),
        ],
    )  # fmt: skip
    def test_the_article_is_right(self, label: str, thing: str) -> None:
        assert with_article(label) == thing

    def test_a_detectors_underscores_are_spaces(self) -> None:
        assert "a photo of a wine glass" in prompts("wine_glass")

    def test_the_mean_of_the_prompts_is_a_unit_vector_between_them(self) -> None:
        mean = label_vector([np.array([1.0, 0.0]), np.array([0.0, 1.0])])
        np.testing.assert_allclose(mean, [math.sqrt(0.5)] * 2, rtol=1e-6)
        assert mean.dtype == np.float32


class TestRivals:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("dog", "Dog"), ("dog", "a dog"), ("a dog", "The dogs"), ("knife", "knives"),
            ("wine_glass", "wine glasses"), ("cherry", "cherries"), ("woman", "women"),
            ("person", "people"), ("cup of tea", "cups of tea"), ("tomato", "tomatoes"),
        ],
    )  # fmt: skip
    def test_case_article_and_plural_make_no_other_label(self, one: str, other: str) -> None:
        assert same(one, other)
        assert same(other, one)
        assert rivals(one, [other, "sky"], named=True) == ["sky"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [("dog", "cat"), ("cub", "cube"), ("can", "cane"), ("glass", "wine glass"), ("a", "b")],
    )
    def test_other_words_are_other_labels(self, one: str, other: str) -> None:
        assert not same(one, other)

    def test_a_label_counts_once_as_it_was_first_written(self) -> None:
        assert distinct(["Dogs", "cat", " ", "dog", "a cat", "?"]) == ["Dogs", "cat"]

    def test_a_general_list_offers_nothing_that_says_more_or_less_of_the_same(self) -> None:
        trained = ["red circle", "blue circle", "blue square"]
        assert rivals("circle", trained, named=False) == ["blue square"]
        assert rivals("a small red circle", trained, named=False) == ["blue circle", "blue square"]
        # What a person names was meant.
        assert rivals("circle", trained, named=True) == trained

    def test_the_everyday_list_has_no_repetitions_and_a_way_out(self) -> None:
        assert len(EVERYDAY) >= 100
        assert distinct(EVERYDAY) == list(EVERYDAY)
        assert "something else" in EVERYDAY
        assert all(label == label.strip() for label in EVERYDAY)


class TestRanking:
    def test_probabilities_add_up_to_1_and_keep_the_order_of_the_cosines(self) -> None:
        found = ranked(0.21, 0.30, 0.25)
        assert [one["label"] for one in found["ranked"]] == ["cup", "phone", "bottle"]
        assert sum(one["probability"] for one in found["ranked"]) == pytest.approx(1)
        assert found["best"] == found["ranked"][0]

    def test_a_probability_is_the_softmax_of_the_scaled_cosines(self) -> None:
        share = probabilities(np.array([0.3, 0.2]), 10.0)[0]
        assert share == pytest.approx(1 / (1 + math.exp(-1)))

    def test_a_large_scale_does_not_overflow(self) -> None:
        assert probabilities(np.array([1.0, -1.0]), 1000.0).tolist() == [1.0, 0.0]

    def test_a_usual_cosine_far_below_the_threshold_can_match(self) -> None:
        found = verification("bottle", ranked(0.31, 0.20, 0.18, scale=100.0), threshold=0.7)
        assert found["is_match"] is True
        assert found["similarity"] == pytest.approx(0.31)
        assert found["probability"] > 0.99
        assert found["best"]["label"] == "bottle"
        assert [one["label"] for one in found["alternatives"]] == ["cup", "phone"]

    def test_a_high_cosine_does_not_match_if_an_alternative_has_a_higher_one(self) -> None:
        found = verification("bottle", ranked(0.90, 0.95, 0.1, scale=100.0), threshold=0.0)
        assert found["is_match"] is False
        assert found["best"]["label"] == "cup"

    def test_the_threshold_applies_to_the_probability(self) -> None:
        ranking = ranked(0.30, 0.25, 0.0, scale=20.0)
        share = ranking["best"]["probability"]
        assert verification("bottle", ranking, threshold=share)["is_match"] is True
        assert verification("bottle", ranking, threshold=share + 1e-9)["is_match"] is False

    def test_a_label_as_probable_as_the_best_is_the_best(self) -> None:
        found = verification("cup", ranked(0.3, 0.3, 0.0), threshold=0.3)
        assert found["is_match"] is True
        assert found["best"]["label"] == "cup"

    @pytest.mark.parametrize(
        ("probability", "word"),
        [
            (1.0, "high"),
            (0.9, "high"),
            (0.89, "medium"),
            (0.7, "medium"),
            (0.69, "low"),
            (0, "low"),
        ],
    )
    def test_confidence_is_the_probability_in_a_word(self, probability: float, word: str) -> None:
        assert confidence(probability) == word

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
    def test_a_threshold_is_a_probability(self, threshold: float) -> None:
        with pytest.raises(InvalidQuery, match="from 0 to 1"):
            require_threshold(threshold)


class TestCalibration:
    @pytest.mark.parametrize("scale", [2.0, 12.0, 60.0])
    def test_the_fitted_scale_is_the_one_that_made_the_data(self, scale: float) -> None:
        assert fit_logit_scale(*drawn(scale)) == pytest.approx(scale, rel=0.04)

    def test_no_mistakes_give_the_largest_scale_and_only_mistakes_the_least(self) -> None:
        cosines = np.eye(3)
        assert fit_logit_scale(cosines, np.array([0, 1, 2])) == pytest.approx(1000)
        assert fit_logit_scale(cosines, np.array([1, 2, 0])) == pytest.approx(0.01)

    def test_a_scale_without_data_is_refused(self) -> None:
        with pytest.raises(ValueError, match="n > 0"):
            fit_logit_scale(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))

    def test_honest_probabilities_have_no_calibration_error(self) -> None:
        cosines, truth = drawn(12.0)
        assert expected_calibration_error(probabilities(cosines, 12.0), truth) < 0.02

    def test_overconfident_probabilities_have_one_and_the_fitted_scale_mends_it(self) -> None:
        cosines, truth = drawn(12.0)
        before = expected_calibration_error(probabilities(cosines, 60.0), truth)
        fitted = fit_logit_scale(cosines, truth)
        after = expected_calibration_error(probabilities(cosines, fitted), truth)
        assert before > 0.2
        assert after < 0.02

    def test_the_error_of_certain_answers_is_the_share_that_is_wrong(self) -> None:
        certain = np.tile([1.0, 0.0], (10, 1))
        truth = np.array([0] * 6 + [1] * 4)
        assert expected_calibration_error(certain, truth) == pytest.approx(0.4)

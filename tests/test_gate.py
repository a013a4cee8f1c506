"""The shipped checkpoint sees: recall on the gate set with each runtime, and its golden vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from scenebook.encoders import golden
from scenebook.encoders.checkpoints import FIGURES, SHIPPED
from scenebook.encoders.client import Encoders
from scenebook.settings import Settings
from scenebook.synthetic.dataset import read_gate
from scenebook.synthetic.gate import GateReport, measure

BATCH = 50
RECALL, UNSEEN_RECALL = 0.87, 0.80
# The most that an export may lose against torch.
LOSS = 0.01


def figures(runtime: str) -> Settings:
    return Settings(
        clip_enabled=True,
        clip_model_name=FIGURES,
        clip_timeout_s=60,  # a busy machine must not decide what the model sees
        clip_batch_size=BATCH,
        clip_cpu_threads=1,
        encoder_runtime=runtime,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module", params=["torch", "onnx"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def encoders(runtime: str) -> Iterator[Encoders]:
    with closing(Encoders(figures(runtime))) as encoders:
        yield encoders


def in_batches(
    items: list[bytes] | list[str], encode: Callable[[list], list[NDArray[np.float32]]]
) -> NDArray[np.float32]:
    starts = range(0, len(items), BATCH)
    return np.stack([vector for at in starts for vector in encode(items[at : at + BATCH])])


def report(encoders: Encoders) -> GateReport:
    def images(pictures: list[bytes]) -> list[NDArray[np.float32]]:
        answers = encoders.encode_images(pictures)
        assert [answer.error for answer in answers if answer.vector is None] == []
        return [answer.vector for answer in answers if answer.vector is not None]

    return measure(
        read_gate(),
        lambda pictures: in_batches(pictures, images),
        lambda texts: in_batches(texts, encoders.encode_query_image_text),
    )


@pytest.fixture(scope="module")
def reports() -> dict[str, GateReport]:
    """What was measured, by runtime."""
    return {}


def test_text_and_pictures_find_one_another(
    encoders: Encoders,
    runtime: str,
    reports: dict[str, GateReport],
    record_property: Callable[[str, object], None],
) -> None:
    found = reports[runtime] = report(encoders)
    record_property("table", [f"Gate set, {runtime}:", *found.lines()])
    assert min(found.recall.text_to_image, found.recall.image_to_text) >= RECALL
    assert min(found.unseen.text_to_image, found.unseen.image_to_text) >= UNSEEN_RECALL
    assert found.unseen.pairs == 100
    # A gate that colours alone could pass would prove nothing.
    assert found.histogram.text_to_image < 0.3
    for name, (accuracy, chance) in found.attributes.items():
        assert accuracy > chance + 0.15, name


def test_the_golden_vectors_are_given_again(encoders: Encoders) -> None:
    stored = golden.read(SHIPPED)
    assert stored is not None
    assert golden.least_cosine(stored, encoders) >= golden.LEAST_COSINE


def test_an_export_loses_no_more_than_a_point(reports: dict[str, GateReport]) -> None:
    torch, onnx = reports["torch"].recall, reports["onnx"].recall
    assert onnx.text_to_image >= torch.text_to_image - LOSS
    assert onnx.image_to_text >= torch.image_to_text - LOSS

"""Models that hang, crash or take all memory: what it costs, and whom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from scenebook.encoders import inference
from scenebook.encoders.client import Encoders
from scenebook.encoders.inference import InferenceChild
from scenebook.errors import (
    ChildDied,
    ConfigurationError,
    DeadlineExceeded,
    JobLost,
    ModelUnavailable,
    ScenebookError,
    Unavailable,
)
from scenebook.model import Channel, ChannelStatus, EmbeddingSpace, Scene
from scenebook.settings import Settings, load
from scenebook.text_vectors import embed_each
from tests.pictures import png
from tests.test_remote_faults import spoken

TIMEOUT_S = 0.5
# Pictures are sent so many at a time, as worker/pipeline/batches.py does.
BATCH = 16
OK = ChannelStatus.OK


@pytest.fixture
def fake() -> Iterator[Encoders]:
    """A fake CLIP that misbehaves if a picture's comment says so."""
    values = {"CLIP_ENABLED": "true", "CLIP_MODEL_NAME": "fake", "CLIP_TIMEOUT_S": str(TIMEOUT_S)}
    with closing(Encoders(load(values))) as encoders:
        encoders.image_space()
        yield encoders


def test_a_hundred_hanging_scenes_cost_three_deadlines_and_a_few_lines_of_log(
    fake: Encoders,
) -> None:
    hanging = [png(comment="hang", colour=f"#0000{place:02x}") for place in range(100)]
    began = time.monotonic()
    with capture_logs() as logs:
        found = [
            answer
            for first in range(0, len(hanging), BATCH)
            for answer in fake.encode_images(hanging[first : first + BATCH])
        ]
    assert time.monotonic() - began < 3 * TIMEOUT_S + 5
    statuses = [one.status for one in found]
    assert statuses == [ChannelStatus.TIMEOUT] * 3 + [ChannelStatus.CIRCUIT_OPEN] * 97
    warnings = [one["event"] for one in logs if one["log_level"] == "warning"]
    assert warnings.count("clip_circuit_open") == 1
    assert len(warnings) <= 5


def test_slow_scenes_give_signs_of_life_and_a_lost_job_stops_between_them(fake: Encoders) -> None:
    signs: list[float] = []

    def lost() -> None:
        raise JobLost

    pictures = [png(comment="slow 0.05", colour=f"#00{place:02x}00") for place in range(BATCH)]
    fake.encode_images(pictures, moved=lambda: signs.append(time.monotonic()))
    assert len(signs) >= 2
    with pytest.raises(JobLost):
        fake.encode_images(pictures, moved=lost)
    assert [one.status for one in fake.encode_images([png()])] == [OK]


class TestRoom:
    @pytest.fixture
    def child(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[InferenceChild]:
        monkeypatch.setattr(inference, "CHILD_MODULE", "tests.crowded_child")
        settings = Settings(whisper_model="huge")
        with closing(InferenceChild(settings)) as made:
            yield made

    def test_a_model_without_room_beside_another_gets_a_child_of_its_own(
        self, child: InferenceChild
    ) -> None:
        child.load("text")
        child.load("rerank")
        assert child.restarts == 1
        child.load("rerank")
        assert child.restarts == 1
        child.load("text")
        assert child.restarts == 2

    def test_a_model_that_is_too_large_for_any_child_is_refused_after_one_more_try(
        self, child: InferenceChild
    ) -> None:
        with pytest.raises(ModelUnavailable, match="ran out of memory"):
            child.load("speech")
        assert child.restarts == 0
        child.load("text")
        assert child.restarts == 1


class Scripted:
    """A text model that fails at some words."""

    def __init__(self, errors: dict[str, ScenebookError]) -> None:
        self.errors = errors
        self.calls = 0

    def text_space(self, channel: Channel) -> EmbeddingSpace:
        return EmbeddingSpace(channel, "scripted", "here", "1", 2)

    def text_pieces(self, text: str) -> list[str]:
        return [text]

    def encode_texts(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        self.calls += 1
        for words, error in self.errors.items():
            if any(words in text for text in texts):
                raise error
        return [np.array([1, 0], np.float32)] * len(texts)


def embedded(
    model: Scripted, scenes: list[Scene]
) -> tuple[list[ChannelStatus], ScenebookError | None]:
    space = model.text_space(Channel.TRANSCRIPT)
    found, given_up = embed_each(model, space, scenes)
    return [one.state.status for one in found], given_up


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ChildDied("The inference child was killed (SIGSEGV)."), ChannelStatus.ERROR),
        (DeadlineExceeded("Timeout after 2.0s"), ChannelStatus.TIMEOUT),
        (ScenebookError("The model gave a vector of norm nan instead of 1."), ChannelStatus.ERROR),
    ],
    ids=["crash", "hang", "nan"],
)
def test_one_text_that_breaks_the_model_is_marked_alone(
    error: ScenebookError, status: ChannelStatus
) -> None:
    model = Scripted({"scene 1.": error})
    assert embedded(model, spoken(4)) == ([OK, status, OK, OK], None)
    assert model.calls == 1 + 4


def test_a_model_that_fails_at_every_text_is_given_up_after_three() -> None:
    died = ChildDied("The inference child was killed (SIGSEGV).")
    model = Scripted({"scene": died})
    assert embedded(model, spoken(16)) == ([ChannelStatus.ERROR] * 16, died)
    assert model.calls == 1 + 3


@pytest.mark.parametrize("error", [Unavailable("away"), ConfigurationError("wrong key")])
def test_a_service_that_is_away_is_no_texts_fault(error: ScenebookError) -> None:
    model = Scripted({"scene 1.": error})
    with pytest.raises(type(error)):
        embedded(model, spoken(4))
    assert model.calls == 1


def test_long_texts_give_signs_of_life_between_requests() -> None:
    model, signs = Scripted({}), []
    model.text_pieces = lambda text: [text] * 300  # type: ignore[method-assign]
    space = model.text_space(Channel.TRANSCRIPT)
    embed_each(model, space, spoken(2), moved=lambda: signs.append(1))
    assert model.calls == 3
    assert len(signs) >= 3

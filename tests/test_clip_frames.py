"""Which keyframes of a scene get a CLIP vector, and that the same picture is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pytest
from pgvector import HalfVector

from scenebook.model import ChannelStatus, Video
from scenebook.settings import Settings
from tests import sized
from tests.pictures import png
from tests.pipelines import Pipeline, a_pipeline
from tests.sized import SizedFake, ask, backfill, index, rows, seeing, states

RED, BLUE, LIME, WHITE = (png(colour) for colour in ("red", "blue", "lime", "white"))
BROKEN = b"not a picture"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CLIP that counts what it looks at."""
    sized.use(monkeypatch)
    monkeypatch.setattr(SizedFake, "looked", 0)


@pytest.fixture
def pipeline(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A pipeline with CLIP_FRAMES as the test says, or best."""
    frames = getattr(request, "param", "best")
    with a_pipeline(seeing(settings, 512, clip_frames=frames)) as made:
        yield made


def vectors(pipeline: Pipeline, video: Video) -> list[tuple[int, int | None, np.ndarray]]:
    """Ordinal, time and vector of every vector of a video, in order."""
    url = pipeline.tools.settings.database_url
    assert url is not None
    found = rows(
        url,
        "select e.ordinal, e.at_ms, e.embedding::text from public.scene_embeddings as e"
        " join public.scenes as s on s.id = e.scene_id where e.video_id = %s"
        " order by s.scene_index, e.ordinal",
        video.id,
    )
    return [
        (ordinal, at_ms, HalfVector.from_text(text).to_numpy())  # type: ignore[misc, arg-type]
        for ordinal, at_ms, text in found
    ]


def test_best_embeds_the_best_frame_and_says_when_it_was(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    video = index(pipeline, alice, [[RED, BLUE], [LIME]])
    assert [(ordinal, at) for ordinal, at, _ in vectors(pipeline, video)] == [(0, 0), (0, 1000)]
    assert SizedFake.looked == 2
    assert ask(pipeline, alice, "red").hits[0].reasons[0].matched_ms == 0
    assert ask(pipeline, bob, "red").hits == ()


@pytest.mark.parametrize("pipeline", ["all"], indirect=True)
def test_all_embeds_three_frames_and_a_hit_names_the_one_that_matched(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    index(pipeline, bob, [[BLUE]])
    video = index(pipeline, alice, [[RED, BLUE, LIME, WHITE], [WHITE]])
    assert [(ordinal, at) for ordinal, at, _ in vectors(pipeline, video)] == [
        (0, 0), (1, 100), (2, 200), (0, 1000),
    ]  # fmt: skip
    for colour, at_ms in (("red", 0), ("blue", 100), ("lime", 200)):
        hit = ask(pipeline, alice, colour).hits[0]
        assert (hit.scene_index, hit.reasons[0].matched_ms) == (0, at_ms)
        assert hit.reasons[0].similarity == pytest.approx(1, abs=1e-3)
    assert len(ask(pipeline, alice, "blue").hits) == 2


@pytest.mark.parametrize("pipeline", ["mean"], indirect=True)
def test_mean_is_the_direction_between_the_frames(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    video = index(pipeline, alice, [[RED, BLUE, BROKEN], [LIME]])
    (ordinal, at_ms, mean), (_, at_of_one, _) = vectors(pipeline, video)
    assert (ordinal, at_ms, at_of_one) == (0, None, 1000)
    encoders = pipeline.tools.encoders
    red, blue = (one.vector for one in encoders.encode_images([RED, BLUE]))
    assert red is not None
    assert blue is not None
    middle = (red + blue) / np.linalg.norm(red + blue)
    assert np.dot(middle, mean) == pytest.approx(1, abs=1e-3)
    assert len(vectors(pipeline, index(pipeline, bob, [[RED, BLUE]]))) == 1


@pytest.mark.parametrize("pipeline", ["all", "mean"], indirect=True)
def test_a_mean_never_stands_for_a_picture(pipeline: Pipeline, alice: UUID) -> None:
    index(pipeline, alice, [[RED, BLUE]])
    index(pipeline, alice, [[RED]])
    mean = pipeline.tools.settings.clip_frames == "mean"
    assert SizedFake.looked == (3 if mean else 2)


@pytest.mark.parametrize("pipeline", ["all"], indirect=True)
def test_a_frame_that_fails_does_not_spoil_the_others(pipeline: Pipeline, alice: UUID) -> None:
    video = index(pipeline, alice, [[BROKEN, RED, BLUE], [BROKEN], [LIME]])
    first, second, third = states(pipeline, video)
    assert [one.status for one in (first, second, third)] == [
        ChannelStatus.OK, ChannelStatus.DECODE_ERROR, ChannelStatus.OK,
    ]  # fmt: skip
    assert first.metadata["frame_path"].endswith("/1.png")
    assert first.metadata["error"] is None
    assert [(one["rank"], one["status"]) for one in first.metadata["frames"]] == [
        (0, "decode_error"), (1, "ok"), (2, "ok"),
    ]  # fmt: skip
    assert "frames" not in third.metadata
    assert [(ordinal, at) for ordinal, at, _ in vectors(pipeline, video)] == [
        (0, 100), (1, 200), (0, 2000),
    ]  # fmt: skip


def test_the_same_picture_of_an_owner_is_looked_at_once(
    pipeline: Pipeline, alice: UUID, bob: UUID
) -> None:
    first = index(pipeline, alice, [[RED], [RED], [BLUE]])
    assert SizedFake.looked == 2
    told = [
        (one.metadata["inference_time_ms"], one.metadata.get("reused"))
        for one in states(pipeline, first)
    ]
    assert told == [(1.0, None), (None, True), (1.0, None)]
    second = index(pipeline, alice, [[BLUE], [LIME]])
    assert SizedFake.looked == 3
    assert [one.metadata.get("reused") for one in states(pipeline, second)] == [True, None]
    assert np.array_equal(vectors(pipeline, first)[2][2], vectors(pipeline, second)[0][2])
    other = index(pipeline, bob, [[RED], [BLUE], [LIME]])
    assert SizedFake.looked == 6
    assert [one.metadata.get("reused") for one in states(pipeline, other)] == [None] * 3


def test_a_vector_of_another_space_stands_for_no_picture(
    pipeline: Pipeline, settings: Settings, alice: UUID
) -> None:
    index(pipeline, alice, [[RED], [BLUE]])
    with a_pipeline(seeing(settings, 768)) as other:
        SizedFake.looked = 0
        backfill(other).run(alice)
        assert SizedFake.looked == 2
        index(other, alice, [[RED]])
        assert SizedFake.looked == 2

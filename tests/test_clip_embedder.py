"""CLIP in its child: vectors, every status for its own reason, and time that is really bounded."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from structlog.testing import capture_logs

from scenebook.encoders.breaker import CircuitBreaker
from scenebook.encoders.client import Encoders, ImageVector
from scenebook.encoders.images import unit_vector
from scenebook.encoders.pictures import UndecodablePicture, decode, reduce_short_side
from scenebook.encoders.spaces import identity
from scenebook.errors import ChildDied, ModelUnavailable
from scenebook.model import ChannelStatus
from scenebook.settings import load
from tests.checkpoints import CLIP_DIMENSIONS, CLIP_INPUT, checkpoints
from tests.pictures import gradient, png

# A killed child is back, with the fake model, in well under this time even on a busy machine.
RESTART_S = 3.0


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints(tmp_path_factory)


@pytest.fixture(scope="module")
def real(local: Path) -> Iterator[Encoders]:
    """A real open_clip architecture with random weights from a local checkpoint."""
    settings = {
        "CLIP_ENABLED": "true",
        "CLIP_PRETRAINED": str(local / "clip"),
        "CLIP_DEVICE": "cuda",
        "CLIP_CPU_THREADS": "1",
        "CLIP_TIMEOUT_S": "20",
        "CLIP_MAX_IMAGE_SIZE": str(CLIP_INPUT),
        "MEDIA_MAX_PIXELS": "4000000",
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CUDA_VISIBLE_DEVICES", "")
        encoders = Encoders(load(settings))
        yield encoders
        encoders.close()


@pytest.fixture
def fake() -> Iterator[Callable[..., Encoders]]:
    """Makes encoders with the fake CLIP, whose pictures can make it hang or crash."""
    made: list[Encoders] = []

    def make(**settings: str) -> Encoders:
        values = {"CLIP_ENABLED": "true", "CLIP_MODEL_NAME": "fake", "CLIP_TIMEOUT_S": "1"}
        made.append(Encoders(load(values | settings)))
        return made[-1]

    yield make
    for encoders in made:
        encoders.close()


def statuses(answers: list[ImageVector]) -> list[str]:
    return [str(answer.status) for answer in answers]


class TestClipEmbedderDisabled:
    def test_disabled_returns_none(self) -> None:
        before = psutil.Process().children()
        encoders = Encoders(load({}))
        answer = encoders.encode_images([png(), None])[0]
        assert answer.status is ChannelStatus.DISABLED
        assert answer.vector is None
        assert answer.error is None
        assert psutil.Process().children() == before

    def test_disabled_clip_has_no_space_to_search(self) -> None:
        with pytest.raises(ModelUnavailable, match="CLIP_ENABLED=true"):
            Encoders(load({})).encode_query_image_text(["a red circle"])


class TestClipEmbedderSingleton:
    def test_singleton_returns_same_instance(self, fake: Callable[..., Encoders]) -> None:
        encoders = fake()
        with capture_logs() as logs, ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(encoders.encode_images, [[png()]] * 4))
        assert [statuses(answer) for answer in answers] == [["ok"]] * 4
        assert sum(entry["event"] == "model_loaded" for entry in logs) == 1
        assert encoders.restarts == 0


class TestClipEmbedderModelLoading:
    def test_model_loading_success(self, real: Encoders, local: Path) -> None:
        space = real.image_space()
        assert space.channel == "visual_clip"
        assert space.model == "clip"
        assert space.weights == identity(local / "clip")
        assert space.revision == "shortest-64-bicubic-centre-crop"
        assert space.dimensions == CLIP_DIMENSIONS

    def test_a_fake_model_says_that_it_is_fake(self, fake: Callable[..., Encoders]) -> None:
        assert fake().image_space().model == "fake"

    def test_changed_weights_under_one_name_are_another_space(self, tmp_path: Path) -> None:
        weights, configuration = tmp_path / "model.safetensors", tmp_path / "config.json"
        weights.write_bytes(b"one")
        configuration.write_text("{}")
        first = identity(tmp_path), identity(weights)
        weights.write_bytes(b"two")
        second = identity(tmp_path), identity(weights)
        configuration.write_text('{"quick_gelu": true}')
        assert len({*first, *second, identity(tmp_path)}) == 5
        assert first[1].startswith("model.safetensors@sha256:")

    def test_a_failed_load_is_remembered_and_not_repeated_on_each_scene(self, local: Path) -> None:
        settings = {"CLIP_PRETRAINED": str(local / "clip"), "CLIP_LOAD_TIMEOUT_S": "0.3"}
        encoders = Encoders(load({"CLIP_ENABLED": "true"} | settings))
        with capture_logs() as logs:
            first = encoders.encode_images([png(), None, png()])
            began = time.monotonic()
            again = encoders.encode_images([png()])
            elapsed_s = time.monotonic() - began
        encoders.close()
        assert statuses(first) == ["load_error", "no_frame", "load_error"]
        assert first[0].error == "The clip model did not load within 0.3 s."
        assert again[0].error == first[0].error
        assert elapsed_s < 0.1
        assert sum(entry["event"] == "model_unavailable" for entry in logs) == 1

    def test_a_model_that_cannot_load_says_what_to_do(self, local: Path) -> None:
        found = json.loads((local / "activations.json").read_text())
        assert "no-such-tag" in found["small unknown"]
        assert "Check CLIP_MODEL_NAME and CLIP_PRETRAINED" in found["small unknown"]

    def test_the_activation_comes_from_the_weights(self, local: Path) -> None:
        found = json.loads((local / "activations.json").read_text())
        assert found["small quick"] == "QuickGELU"
        assert found["small plain"] == "GELU"
        # A file is in no table of weights, so the architecture's name says it.
        assert found["small file"] == "GELU"
        assert found["small-quickgelu file"] == "QuickGELU"
        assert "QuickGELU mismatch" in found["small-quickgelu plain"]
        openai = {name: quick for name, quick in found["table"].items() if "openai" in name}
        assert openai
        assert all(openai.values())
        assert not any(quick for name, quick in found["table"].items() if name not in openai)


class TestClipEmbedderEmbeddingGeneration:
    def test_embedding_generation_success(self, real: Encoders) -> None:
        answer = real.encode_images([gradient((1920, 1080))])[0]
        assert answer.status is ChannelStatus.OK
        assert answer.vector is not None
        assert answer.vector.shape == (CLIP_DIMENSIONS,)
        assert answer.vector.dtype == np.float32
        assert np.linalg.norm(answer.vector) == pytest.approx(1, abs=1e-5)
        assert answer.inference_time_ms is not None
        assert answer.inference_time_ms > 0

    def test_the_same_picture_has_the_same_vector_alone_and_in_a_batch(
        self, real: Encoders
    ) -> None:
        red, wide = png("red"), gradient((320, 180))
        alone = [real.encode_images([picture])[0].vector for picture in (red, wide)]
        batch = [answer.vector for answer in real.encode_images([red, wide, red])]
        assert alone[0] is not None
        np.testing.assert_allclose(batch[0], alone[0], atol=1e-5)
        np.testing.assert_allclose(batch[1], alone[1], atol=1e-5)
        np.testing.assert_allclose(batch[2], batch[0], atol=1e-5)
        assert float(batch[0] @ batch[1]) < 0.999  # type: ignore[operator]

    def test_an_upright_and_a_rotated_photo_are_the_same_picture(self, real: Encoders) -> None:
        lying = real.encode_images([gradient((200, 100), orientation=3)])[0].vector
        picture = decode(gradient((200, 100)), max_pixels=10**6).rotate(180)
        file = io.BytesIO()
        picture.save(file, "PNG")
        upright = real.encode_images([file.getvalue()])[0].vector
        assert lying is not None
        assert upright is not None
        assert float(lying @ upright) > 0.999

    def test_one_bad_picture_does_not_hurt_its_neighbours(self, real: Encoders) -> None:
        whole = gradient((320, 180))
        huge = png(size=(4000, 1001))
        answers = real.encode_images([png(), b"", whole[: len(whole) // 2], None, huge, png()])
        assert statuses(answers) == [
            "ok", "decode_error", "decode_error", "no_frame", "decode_error", "ok"
        ]  # fmt: skip
        assert "4000x1001 pixels; the limit is 4000000" in (answers[4].error or "")

    def test_words_have_vectors_in_the_space_of_the_pictures(self, real: Encoders) -> None:
        first, second = real.encode_query_image_text(["a red circle", "a blue square"])
        assert first.shape == (CLIP_DIMENSIONS,)
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        assert float(first @ second) < 0.999

    def test_without_a_gpu_cuda_falls_back_to_the_cpu(self, real: Encoders) -> None:
        answer = real.encode_images([png()])[0]
        metadata = real.image_metadata(
            answer, frame_path=None, frame_quality=None, created_at=datetime.now(UTC)
        )
        assert metadata["device"] == "cpu"
        assert answer.status is ChannelStatus.OK

    def test_the_size_limit_holds_for_the_short_side(self) -> None:
        wide = Image.new("RGB", (1920, 1080))
        assert reduce_short_side(wide, 224).size == (398, 224)
        assert reduce_short_side(wide.rotate(90, expand=True), 224).size == (224, 398)
        assert reduce_short_side(Image.new("RGB", (100, 60)), 224).size == (100, 60)
        assert reduce_short_side(Image.new("RGB", (5000, 3)), 224).size == (5000, 3)

    def test_what_is_no_picture_is_refused_with_a_reason(self) -> None:
        with pytest.raises(UndecodablePicture, match="no JPEG, PNG, WebP, GIF or BMP"):
            decode(b"#EXTM3U\nhttp://elsewhere/", max_pixels=100)

    @pytest.mark.parametrize("bad", [np.zeros(3), np.full(3, np.nan), np.eye(1, 4)[0], np.ones(3)])
    def test_a_vector_that_is_not_of_norm_1_is_refused(self, bad: np.ndarray) -> None:
        with pytest.raises(ValueError, match="The model gave"):
            unit_vector(bad.astype("<f4").tobytes(), 3)


class TestClipEmbedderTimeout:
    def test_a_hang_on_scene_3_of_10_costs_one_scene(self, fake: Callable[..., Encoders]) -> None:
        encoders = fake()
        encoders.image_space()
        pictures: list[bytes | None] = [png()] * 10
        pictures[2] = png(comment="hang")
        began = time.monotonic()
        answers = encoders.encode_images(pictures)
        elapsed_s = time.monotonic() - began
        assert statuses(answers) == ["ok", "ok", "timeout", *["ok"] * 7]
        assert answers[2].error == "Timeout after 1.0s"
        assert answers[2].vector is None
        assert encoders.restarts == 2
        # Two deadlines (the batch's, then the scene's own), two restarts, and quick neighbours.
        assert elapsed_s < 2 * 1.0 + 2 * RESTART_S

    def test_one_scene_alone_ends_at_its_deadline(self, fake: Callable[..., Encoders]) -> None:
        encoders = fake(CLIP_TIMEOUT_S="0.5")
        encoders.image_space()
        began = time.monotonic()
        answers = encoders.encode_images([png(comment="hang")])
        assert time.monotonic() - began < 0.5 + 0.5
        assert statuses(answers) == ["timeout"]

    def test_a_slow_batch_blames_no_scene(self, fake: Callable[..., Encoders]) -> None:
        pictures = [png(comment="slow 0.3")] * 5
        encoders = fake()
        encoders.encode_images([png()] * 2)
        assert statuses(encoders.encode_images(pictures)) == ["ok"] * 5
        assert encoders.restarts == 1
        # It has learnt how slow the pictures are, and makes batches that fit.
        assert statuses(encoders.encode_images(pictures)) == ["ok"] * 5
        assert encoders.restarts == 1

    @pytest.mark.parametrize(
        ("comment", "error"),
        [
            ("crash", "The inference child was killed (SIGSEGV)."),
            ("oom", "The inference child ran out of memory."),
            ("zero", "The model gave a vector of norm 0 instead of 1."),
            ("nan", "The model gave a vector of norm nan instead of 1."),
        ],
    )
    def test_a_scene_that_breaks_the_model_is_an_error_alone(
        self, fake: Callable[..., Encoders], comment: str, error: str
    ) -> None:
        answers = fake().encode_images([png(), png(comment=comment), png("blue")])
        assert statuses(answers) == ["ok", "error", "ok"]
        assert answers[1].error == error
        assert answers[1].vector is None

    def test_a_killed_child_ends_the_work_at_once(self, fake: Callable[..., Encoders]) -> None:
        encoders = fake(CLIP_TIMEOUT_S="30")
        encoders.image_space()
        timer = threading.Timer(0.3, encoders.kill)
        timer.start()
        began = time.monotonic()
        with pytest.raises(ChildDied):
            encoders.encode_images([png(), png(comment="hang"), png()])
        assert time.monotonic() - began < 0.3 + 0.5
        timer.join()
        assert statuses(encoders.encode_images([png()])) == ["ok"]


class TestClipEmbedderCircuitBreaker:
    def test_after_some_timeouts_the_rest_is_refused_at_once(
        self, fake: Callable[..., Encoders]
    ) -> None:
        encoders = fake(CLIP_TIMEOUT_S="0.3", CLIP_BREAKER_FAILURES="2", CLIP_BREAKER_RESET_S="1.5")
        hanging = png(comment="hang")
        answers = encoders.encode_images([hanging] * 6)
        assert statuses(answers) == ["timeout"] * 2 + ["circuit_open"] * 4
        began = time.monotonic()
        assert statuses(encoders.encode_images([png(), None])) == ["circuit_open", "no_frame"]
        assert time.monotonic() - began < 0.1
        time.sleep(1.5)
        # Half open: one trial closes it.
        assert statuses(encoders.encode_images([png()] * 3)) == ["ok"] * 3

    def test_a_failed_trial_opens_it_again(self) -> None:
        breaker = CircuitBreaker(failures=2, reset_s=0.05)
        breaker.failed()
        assert breaker.allows()
        breaker.failed()
        assert not breaker.allows()
        time.sleep(0.06)
        assert breaker.allows()
        assert breaker.tripped
        breaker.failed()
        assert not breaker.allows()
        time.sleep(0.06)
        breaker.succeeded()
        assert breaker.allows()
        assert not breaker.tripped


class TestClipEmbedderMetadata:
    NOW = datetime(2025, 1, 15, 12, 34, 56, tzinfo=UTC)

    def test_metadata_of_a_vector_is_as_documented(self, real: Encoders, local: Path) -> None:
        answer = real.encode_images([png()])[0]
        metadata = real.image_metadata(
            answer,
            frame_path="keyframes/ab/abcd.jpg",
            frame_quality={"quality_score": 0.82},
            created_at=self.NOW,
        )
        assert metadata == {
            "model_name": "clip",
            "pretrained": identity(local / "clip"),
            "embed_dim": CLIP_DIMENSIONS,
            "normalized": True,
            "device": "cpu",
            "frame_path": "keyframes/ab/abcd.jpg",
            "frame_quality": {"quality_score": 0.82},
            "inference_time_ms": answer.inference_time_ms,
            "created_at": "2025-01-15T12:34:56Z",
            "error": None,
        }
        json.dumps(metadata, allow_nan=False)

    def test_metadata_of_a_timeout_tells_the_error(self, fake: Callable[..., Encoders]) -> None:
        encoders = fake(CLIP_TIMEOUT_S="0.5")
        answer = encoders.encode_images([png(comment="hang")])[0]
        metadata = encoders.image_metadata(
            answer, frame_path="a.jpg", frame_quality=None, created_at=self.NOW
        )
        assert metadata["error"] == "Timeout after 0.5s"
        assert metadata["inference_time_ms"] is None
        assert metadata["model_name"] == "fake"

    def test_a_disabled_channel_has_no_error(self) -> None:
        encoders = Encoders(load({}))
        answer = encoders.encode_images([png()])[0]
        metadata = encoders.image_metadata(
            answer, frame_path=None, frame_quality=None, created_at=self.NOW
        )
        assert metadata["error"] is None
        assert metadata["model_name"] == "ViT-B-32"
        assert metadata["pretrained"] == "openai"
        assert metadata["embed_dim"] is None

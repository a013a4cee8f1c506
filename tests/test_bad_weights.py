"""Weights and exports that are not what they should be: a clear reason, never a wrong vector."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scenebook.children import Child
from scenebook.encoders.client import Encoders
from scenebook.encoders.exports import DESCRIPTION, Export, export_model, find_export
from scenebook.encoders.inference import CHILD_MODULE, ENVIRONMENT, model_options
from scenebook.encoders.spaces import identity
from scenebook.errors import ModelUnavailable
from scenebook.model import Channel, ChannelStatus, VideoStatus
from scenebook.settings import Settings, load
from scenebook.videos import scenes_of
from tests import clips
from tests.checkpoints import CLIP_DIMENSIONS, checkpoints, clip_configuration
from tests.pictures import gradient, png
from tests.pipelines import a_pipeline
from tests.snapshots import snapshot

WEIGHTS, CONFIGURATION = "open_clip_model.safetensors", "open_clip_config.json"
# open_clip's smallest architecture, for weights that are one file.
SMALL = "ViT-S-32-alt"
# The child is slow to import torch when the machine is busy.
PATIENCE_S = 120
# A child that has loaded nothing starts in well under this time.
START_S = 4.0


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that loads."""
    return checkpoints(tmp_path_factory) / "clip"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """One inference child for all these models; it has no network to try."""
    process = Child(
        CHILD_MODULE, name="inference", environment=ENVIRONMENT | {"HF_HUB_OFFLINE": "1"}
    )
    yield process
    process.close()


@pytest.fixture
def checkpoint(good: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be damaged."""
    return Path(shutil.copytree(good, tmp_path / "copy"))


def loaded(child: Child, pretrained: Path | str, **settings: str) -> dict[str, Any]:
    """What the child makes of some weights."""
    values = {"CLIP_PRETRAINED": str(pretrained), "CLIP_DEVICE": "cuda"} | settings
    options = model_options(load(values), "clip", threads=1)
    message = {"op": "load", "kind": "clip", "options": options}
    return child.request(message, timeout_s=PATIENCE_S)


def cut(file: Path, share: float = 0.6) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])


def other_numbers(file: Path) -> None:
    """Weights that load as the right ones would."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def text_as_weights(directory: Path) -> None:
    (directory / WEIGHTS).write_text("Access denied. Please log in to download this file.\n")


def jpeg_as_weights(directory: Path) -> None:
    (directory / WEIGHTS).write_bytes(gradient((320, 180)))


def empty_weights(directory: Path) -> None:
    (directory / WEIGHTS).write_bytes(b"")


def truncated_weights(directory: Path) -> None:
    cut(directory / WEIGHTS)


def truncated_archive(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    (directory / "open_clip_pytorch_model.bin").write_bytes(archive())


def no_weights(directory: Path) -> None:
    (directory / WEIGHTS).unlink()


def no_configuration(directory: Path) -> None:
    (directory / CONFIGURATION).unlink()


def malformed_configuration(directory: Path) -> None:
    cut(directory / CONFIGURATION)


def configuration_of_something_else(directory: Path) -> None:
    (directory / CONFIGURATION).write_text(json.dumps({"model_type": "bert"}))


def incomplete_configuration(directory: Path) -> None:
    configuration = clip_configuration()
    del configuration["embed_dim"]
    (directory / CONFIGURATION).write_text(json.dumps({"model_cfg": configuration}))


def another_architecture(directory: Path) -> None:
    configuration = clip_configuration()
    configuration["vision_cfg"]["width"] = 96
    (directory / CONFIGURATION).write_text(
        json.dumps({"model_cfg": configuration, "preprocess_cfg": {}})
    )


def weights_without_a_tower(directory: Path) -> None:
    tensors = load_file(directory / WEIGHTS)
    save_file(
        {name: one for name, one in tensors.items() if not name.startswith("visual.")},
        directory / WEIGHTS,
    )


def archive() -> bytes:
    """The first part of what torch saves."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        written.writestr("archive/data/0", bytes(10_000))
    return file.getvalue()[:6000]


@pytest.mark.parametrize(
    "damage",
    [
        text_as_weights, jpeg_as_weights, empty_weights, truncated_weights, truncated_archive,
        no_weights, no_configuration, malformed_configuration, configuration_of_something_else,
        incomplete_configuration, another_architecture, weights_without_a_tower,
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_by_name_and_the_child_lives(
    child: Child, good: Path, checkpoint: Path, damage: Callable[[Path], None]
) -> None:
    child.start()
    before = child.pid
    damage(checkpoint)
    with pytest.raises(
        ModelUnavailable, match="Check CLIP_MODEL_NAME and CLIP_PRETRAINED"
    ) as found:
        loaded(child, checkpoint)
    assert str(checkpoint) in str(found.value)
    assert child.pid == before
    assert loaded(child, good)["dimensions"] == CLIP_DIMENSIONS


@pytest.mark.parametrize("content", [b"", b"words", archive(), gradient((64, 64))])
def test_a_file_that_holds_no_weights_is_refused(
    child: Child, tmp_path: Path, content: bytes
) -> None:
    for name in ("weights.pt", "weights.safetensors"):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(ModelUnavailable, match=name):
            loaded(child, file, CLIP_MODEL_NAME=SMALL)


def test_weights_of_another_architecture_are_refused(child: Child, good: Path) -> None:
    with pytest.raises(ModelUnavailable, match=WEIGHTS):
        loaded(child, good / WEIGHTS, CLIP_MODEL_NAME=SMALL)


def test_a_checkpoint_that_is_missing_is_refused(child: Child, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="nowhere"):
        loaded(child, tmp_path / "nowhere", CLIP_MODEL_NAME=SMALL)


def test_a_tag_that_is_not_cached_says_so_where_no_hub_answers(
    child: Child, tmp_path: Path
) -> None:
    for name in ("ViT-B-32", "hf-hub:someone/some-clip"):
        with pytest.raises(ModelUnavailable, match="needs the network"):
            loaded(child, "openai", CLIP_MODEL_NAME=name, CLIP_CACHE_DIR=str(tmp_path))


def test_a_hub_that_never_answers_is_given_up_at_the_time_bound(tmp_path: Path) -> None:
    bound_s = 4.0
    settings = {
        "CLIP_ENABLED": "true",
        "CLIP_CACHE_DIR": str(tmp_path),
        "CLIP_LOAD_TIMEOUT_S": str(bound_s),
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the client tries for a minute
        encoders = Encoders(load(settings))
        began = time.monotonic()
        answer, again = encoders.encode_images([png(), png()])
        elapsed_s = time.monotonic() - began
        encoders.close()
    assert elapsed_s < bound_s + START_S
    assert answer.status is again.status is ChannelStatus.LOAD_ERROR
    assert answer.vector is None
    assert answer.error


def test_weights_that_are_replaced_in_use_are_never_taken_for_the_others(checkpoint: Path) -> None:
    settings = {"CLIP_ENABLED": "true", "CLIP_PRETRAINED": str(checkpoint), "CLIP_TIMEOUT_S": "20"}
    with closing(Encoders(load(settings))) as encoders:
        before = encoders.image_space()
        tensors = load_file(checkpoint / WEIGHTS)
        tensors["visual.proj"] = -tensors["visual.proj"]
        save_file(tensors, checkpoint / WEIGHTS)
        assert encoders.encode_images([png()])[0].status is ChannelStatus.OK  # they are in memory
        encoders.close()  # as a deadline that passes ends the child; the next picture starts it
        (answer,) = encoders.encode_images([png()])
        assert answer.status is ChannelStatus.LOAD_ERROR
        assert "replaced while it was in use" in (answer.error or "")
        assert encoders.image_space() != before
        assert encoders.encode_images([png()])[0].status is ChannelStatus.OK


class TestInThePipeline:
    @pytest.fixture(scope="class")
    def film(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("clips") / "film.mp4"
        return clips.write(path, [*clips.still(1, 25), *clips.still(2, 25)])

    def indexed(
        self, settings: Settings, film: Path, owner_id: UUID, **changes: object
    ) -> tuple[list[ChannelStatus], list[str], list[Any]]:
        """Statuses and reasons of the visual channel, and the vectors that were stored."""
        seeing = settings.model_copy(update={"clip_enabled": True, "clip_cpu_threads": 1} | changes)
        with a_pipeline(seeing) as pipeline:
            video = pipeline.index(film, owner_id=owner_id)
            assert video.status in (VideoStatus.READY, VideoStatus.PARTIAL)
            scenes = scenes_of(pipeline.tools.db, owner_id=owner_id, video_id=video.id)
        states = [
            state
            for scene in scenes
            for state in scene.channels
            if state.channel is Channel.VISUAL_CLIP
        ]
        assert settings.database_url is not None
        rows = snapshot(settings.database_url, video.id)["embeddings"]
        vectors = [row for row in rows if row["channel"] == Channel.VISUAL_CLIP]
        return [state.status for state in states], [state.error or "" for state in states], vectors

    def test_weights_that_give_nan_store_nothing(
        self, settings: Settings, alice: UUID, film: Path, checkpoint: Path
    ) -> None:
        tensors = load_file(checkpoint / WEIGHTS)
        tensors["visual.proj"] = np.full_like(tensors["visual.proj"], np.nan)
        save_file(tensors, checkpoint / WEIGHTS)
        statuses, reasons, vectors = self.indexed(
            settings, film, alice, clip_pretrained=str(checkpoint), clip_timeout_s=20.0
        )
        assert statuses == [ChannelStatus.ERROR] * 2
        assert reasons == ["The model gave a vector of norm nan instead of 1."] * 2
        assert vectors == []

    def test_a_child_out_of_memory_is_a_reason_and_not_the_workers_end(
        self, settings: Settings, alice: UUID, film: Path, good: Path
    ) -> None:
        statuses, reasons, vectors = self.indexed(
            settings, film, alice, clip_pretrained=str(good), encoder_child_memory_mb=100
        )
        assert statuses == [ChannelStatus.LOAD_ERROR] * 2
        assert all("of memory; its limit is 100 MB" in reason for reason in reasons)
        assert vectors == []


class TestExports:
    @pytest.fixture(scope="class")
    def made(self, good: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Export]:
        """An accepted export of the checkpoint, and the directory that holds it."""
        root = tmp_path_factory.mktemp("exports")
        settings = self.settings(good, root)
        return root, export_model(settings, "clip", precision="fp32")

    @staticmethod
    def settings(checkpoint: Path, root: Path) -> Settings:
        return load({"CLIP_PRETRAINED": str(checkpoint), "ENCODER_EXPORTS_DIR": str(root)})

    @pytest.fixture
    def copy(self, made: tuple[Path, Export], tmp_path: Path) -> Path:
        return Path(shutil.copytree(made[0], tmp_path / "exports"))

    def runtime(self, child: Child, checkpoint: Path, root: Path, wanted: str = "auto") -> str:
        known = loaded(child, checkpoint, ENCODER_EXPORTS_DIR=str(root), ENCODER_RUNTIME=wanted)
        assert known["device"] == "cpu"  # CUDA is asked for and absent
        return str(known["runtime"])

    def test_a_whole_export_is_used(self, child: Child, good: Path, copy: Path) -> None:
        assert self.runtime(child, good, copy) == "onnx"

    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            ("image.onnx", cut),
            ("image.onnx", Path.unlink),
            ("text.onnx", Path.unlink),
            ("tokenizer.json", Path.unlink),
            ("image.onnx.data", other_numbers),
            ("text.onnx", cut),  # which nobody reads before a text is asked
            ("tokenizer.json", cut),
            (DESCRIPTION, cut),
        ],
    )
    def test_a_damaged_export_gives_way_to_torch_or_is_refused(
        self,
        child: Child,
        good: Path,
        copy: Path,
        made: tuple[Path, Export],
        name: str,
        damage: Callable[[Path], None],
    ) -> None:
        damage(copy / made[1].directory.name / name)
        assert self.runtime(child, good, copy) == "torch"
        with pytest.raises(ModelUnavailable, match="scenebook models export"):
            self.runtime(child, good, copy, wanted="onnx")

    def test_an_export_of_other_weights_is_not_used(
        self, child: Child, checkpoint: Path, copy: Path, made: tuple[Path, Export]
    ) -> None:
        tensors = load_file(checkpoint / WEIGHTS)
        tensors["visual.proj"] = 2 * tensors["visual.proj"]
        save_file(tensors, checkpoint / WEIGHTS)
        assert find_export(copy, "clip", made[1].model, identity(checkpoint)) is None
        assert self.runtime(child, checkpoint, copy) == "torch"

    def test_an_export_that_was_not_accepted_is_not_used(
        self, child: Child, good: Path, copy: Path, made: tuple[Path, Export]
    ) -> None:
        description = copy / made[1].directory.name / DESCRIPTION
        fields = json.loads(description.read_text())
        description.write_text(json.dumps(fields | {"accepted": False}))
        assert self.runtime(child, good, copy) == "torch"

"""The visual model in the library and on the command line: vectors, rankings, verdicts, errors."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenebook.classification import THRESHOLD, expected_calibration_error
from scenebook.encoders.spaces import Calibration
from scenebook.environment import process_environment
from scenebook.errors import (
    DeadlineExceeded,
    InvalidQuery,
    ModelUnavailable,
    NotFound,
    ScenebookError,
    Unavailable,
)
from scenebook.seeing import VisualModel, image_file
from scenebook.settings import load
from scenebook.synthetic.drawings import COLOURS, SHAPES, Drawing, Figure, sample
from scenebook.synthetic.painting import paint
from tests.commands import ROOT, Scenebook
from tests.pictures import gradient, png

SHARP = Calibration(logit_scale=20.0, labels=("red", "green", "blue"), calibrated=True)


@pytest.fixture
def fake() -> Iterator[Callable[..., VisualModel]]:
    """Makes models that see colours, with CLIP_ENABLED as it is by default: false."""
    made: list[VisualModel] = []

    def make(calibration: Calibration | None = SHARP, **settings: str) -> VisualModel:
        values = {"CLIP_MODEL_NAME": "fake", "CLIP_TIMEOUT_S": "1"} | settings
        made.append(VisualModel(load(values), calibration=calibration))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture(scope="module")
def figures() -> Iterator[VisualModel]:
    """The checkpoint that is shipped."""
    settings = {"CLIP_MODEL_NAME": "figures", "CLIP_TIMEOUT_S": "20", "CLIP_CPU_THREADS": "1"}
    with VisualModel(load(settings)) as model:
        yield model


class TestVectors:
    def test_every_vector_is_float32_of_norm_1(self, fake: Callable[..., VisualModel]) -> None:
        model = fake()
        dimensions = model.get_embedding_dim()
        vectors = [
            model.encode_image(png()),
            model.encode_text("a red square"),
            model.encode_multimodal(png(), "a blue square"),
            *model.encode_images([png("blue"), gradient((90, 50))]),
            *model.encode_texts(["red"] * 40),
        ]
        assert dimensions == 109
        assert len(vectors) == 45
        for vector in vectors:
            assert vector.dtype == np.float32
            assert vector.shape == (dimensions,)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)

    def test_a_path_bytes_an_image_and_an_array_are_the_same_picture(
        self, fake: Callable[..., VisualModel], tmp_path: Path
    ) -> None:
        data = gradient((120, 80), orientation=6)
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        opened = Image.open(path)
        upright = np.asarray(Image.open(io.BytesIO(data))).transpose(1, 0, 2)[:, ::-1]
        first, *others = fake().encode_images([data, path, str(path), opened, upright])
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-6)

    def test_an_array_is_red_green_blue(self, fake: Callable[..., VisualModel]) -> None:
        array = np.zeros((40, 60, 3), dtype=np.uint8)
        array[..., 0] = 255
        model = fake()
        red = model.encode_image(array)
        assert float(red @ model.encode_text("red")) > 0.99
        assert float(model.encode_image(array[..., ::-1]) @ model.encode_text("blue")) > 0.99

    def test_an_image_of_any_mode_has_the_vector_of_its_colour(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        modes, size = ("P", "RGBA", "CMYK", "YCbCr", "HSV"), (30, 20)
        red = [Image.new("RGB", size, "red").convert(mode) for mode in modes]
        whites = {"1": 1, "L": 255, "LA": (255, 255), "I": 65535, "I;16": 65535}
        white = [Image.new(mode, size, value) for mode, value in whites.items()]
        model = fake()
        for colour, images in (("red", red), ("white", white)):
            words = model.encode_text(colour)
            found = [float(vector @ words) for vector in model.encode_images(images)]
            assert min(found) > 0.99, found

    def test_picture_and_text_are_weighted_in_one_query(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        model = fake()
        picture, text = model.encode_image(png("red")), model.encode_text("blue")
        both = model.encode_multimodal(png("red"), "blue", image_weight=0.5)
        assert float(both @ picture) == pytest.approx(float(both @ text), abs=1e-5)
        np.testing.assert_allclose(
            model.encode_multimodal(png("red"), "blue", 1), picture, atol=1e-6
        )
        np.testing.assert_allclose(model.encode_multimodal(png("red"), "blue", 0), text, atol=1e-6)
        with pytest.raises(InvalidQuery, match="from 0 to 1"):
            model.encode_multimodal(png("red"), "blue", image_weight=1.5)


class TestVerdicts:
    def test_the_right_label_matches(self, fake: Callable[..., VisualModel]) -> None:
        found = fake().verify_classification(png("red"), "red square", threshold=0.7)
        assert found["is_match"] is True
        assert found["confidence"] == "high"
        assert found["class_name"] == "red square"
        assert found["similarity"] == pytest.approx(1, abs=1e-3)
        assert found["calibrated"] is True
        # "red" is no argument against "red square"; the rest of what it was trained on is.
        assert {one["label"] for one in found["alternatives"]} == {"green", "blue"}

    def test_a_wrong_label_is_refused_and_the_right_one_named(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        found = fake().verify_classification(png("red"), "a blue square")
        assert found["is_match"] is False
        assert found["confidence"] == "low"
        assert found["probability"] < 0.01
        assert found["best"]["label"] == "red"

    def test_alternatives_are_those_that_are_named(self, fake: Callable[..., VisualModel]) -> None:
        found = fake().verify_classification(png("red"), "blue", against=["Blue", "blues", "green"])
        assert [one["label"] for one in found["alternatives"]] == ["green"]
        assert found["is_match"] is False

    def test_without_labels_of_its_own_it_is_compared_with_everyday_things(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        model = fake(Calibration(logit_scale=100.0, labels=(), calibrated=False))
        found = model.verify_classification(png("red"), "red ball")
        assert found["is_match"] is True
        assert found["calibrated"] is False
        assert len(found["alternatives"]) >= 100
        assert "ball" not in {one["label"] for one in found["alternatives"]}

    def test_labels_are_ranked(self, fake: Callable[..., VisualModel]) -> None:
        found = fake().classify(png("green"), ["red", "Green", "green", "blue"])
        assert found["best"]["label"] == "Green"
        assert len(found["ranked"]) == 3
        assert sum(one["probability"] for one in found["ranked"]) == pytest.approx(1)

    def test_many_pictures_are_classified_as_one_by_one(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        model, labels = fake(), ["red", "green", "blue"]
        pictures = [png("blue"), png("red"), gradient((60, 40))]
        alone = [model.classify(picture, labels) for picture in pictures]
        assert model.classify_images(pictures, labels) == alone

    def test_what_cannot_be_decided_is_said(self, fake: Callable[..., VisualModel]) -> None:
        model = fake()
        with pytest.raises(InvalidQuery, match="To check one label, verify it"):
            model.classify(png(), ["red", "Red"])
        with pytest.raises(InvalidQuery, match="nothing to be compared with"):
            model.verify_classification(png(), "red", against=["Red"])
        with pytest.raises(InvalidQuery, match="label is empty"):
            model.verify_classification(png(), " ")
        with pytest.raises(InvalidQuery, match="text is empty"):
            model.encode_text("\n")
        with pytest.raises(InvalidQuery, match="501 labels are too many"):
            model.classify(png(), [f"thing {number}" for number in range(501)])


class TestBadPictures:
    @pytest.mark.parametrize(
        ("image", "error", "words"),
        [
            (b"", InvalidQuery, "The picture cannot be used"),
            (b"no picture", InvalidQuery, "JPEG, PNG"),
            (png()[:60], InvalidQuery, "The picture cannot be used"),
            (png(comment="nan"), ScenebookError, "norm nan"),
            (png(comment="crash"), ScenebookError, "SIGSEGV"),
            (png(comment="hang"), DeadlineExceeded, "Timeout after 0.5s. Raise CLIP_TIMEOUT_S"),
            ("no/such/file.jpg", NotFound, "There is no file no/such/file.jpg"),
            (".", InvalidQuery, "no regular file"),
            (np.zeros((4, 4), np.uint8), InvalidQuery, "uint8 4x4"),
            (np.zeros((4, 4, 3), np.float32), InvalidQuery, "float32"),
            (np.zeros((0, 4, 3), np.uint8), InvalidQuery, "4x0 pixels"),
            (Image.new("1", (20_000, 20_000)), InvalidQuery, "20000x20000 pixels"),
            (Image.new("F", (4, 4)), InvalidQuery, "Convert it to mode L"),
            (7, InvalidQuery, "not int"),
        ],
        ids=lambda value: None if isinstance(value, type) else str(value)[:20],
    )
    def test_a_picture_that_cannot_be_used_is_one_sentence(
        self, fake: Callable[..., VisualModel], image: Any, error: type, words: str
    ) -> None:
        with pytest.raises(error, match=re.escape(words)) as caught:
            fake(CLIP_TIMEOUT_S="0.5").encode_image(image)
        assert caught.type is error
        assert "\n" not in str(caught.value)

    def test_the_bad_one_of_several_is_named(self, fake: Callable[..., VisualModel]) -> None:
        with pytest.raises(InvalidQuery, match="Picture 2 cannot be used"):
            fake().encode_images([png(), b"", png()])

    def test_a_truncated_image_that_pil_opened_is_refused(self) -> None:
        whole = gradient((300, 200))
        opened = Image.open(io.BytesIO(whole[: len(whole) // 2]))
        with pytest.raises(InvalidQuery, match="cannot be decoded"):
            image_file(opened, max_pixels=10**6)

    def test_a_model_that_cannot_be_loaded_says_what_to_do(self, tmp_path: Path) -> None:
        settings = load({"CLIP_PRETRAINED": str(tmp_path), "CLIP_LOAD_TIMEOUT_S": "0.2"})
        with (
            VisualModel(settings) as model,
            pytest.raises(ModelUnavailable, match=r"within 0\.2 s"),
        ):
            model.encode_image(png())

    def test_after_several_hangs_it_is_refused_at_once(
        self, fake: Callable[..., VisualModel]
    ) -> None:
        model = fake(CLIP_TIMEOUT_S="0.3", CLIP_BREAKER_FAILURES="1")
        with pytest.raises(DeadlineExceeded):
            model.encode_image(png(comment="hang"))
        with pytest.raises(Unavailable, match="tried again after"):
            model.encode_image(png())


class TestCommandLine:
    @pytest.fixture(scope="class")
    def commands(self, tmp_path_factory: pytest.TempPathFactory) -> Scenebook:
        home = tmp_path_factory.mktemp("seeing")
        (home / "red.png").write_bytes(png("red"))
        return Scenebook(home / "data", CLIP_ENABLED="false", CLIP_MODEL_NAME="fake")

    def test_classify_prints_a_ranking(self, commands: Scenebook) -> None:
        found = commands.json("classify", "red.png", "red", "a blue square")
        assert found.keys() == documented("classify").keys()
        assert found["ranked"][0].keys() == documented("classify")["best"].keys()
        assert found["best"]["label"] == "red"
        assert "a blue square" in commands.run("classify", "red.png", "red", "a blue square").stdout

    def test_verify_says_yes_with_0_and_no_with_1(self, commands: Scenebook) -> None:
        yes = commands.json("verify", "red.png", "red", "--against", "blue", "--against", "green")
        assert yes.keys() == documented("verify").keys()
        assert yes["is_match"] is True
        assert yes["threshold"] == THRESHOLD
        no = commands.run("verify", "red.png", "blue", "--against", "red", code=1)
        assert "blue: no" in no.stdout
        assert "rather red" in no.stdout
        assert no.stderr == ""

    def test_encode_prints_the_vector_and_its_space(self, commands: Scenebook) -> None:
        found = commands.json("encode", "--image", "red.png", "--text", "blue")
        assert found.keys() == documented("encode").keys()
        assert (found["kind"], found["model"], found["dimensions"]) == ("multimodal", "fake", 109)
        assert np.linalg.norm(found["vector"]) == pytest.approx(1, abs=1e-5)
        head, vector = commands.run("encode", "--text", "blue").stdout.split("\n", 1)
        assert "109 dimensions" in head
        assert len(json.loads(vector)) == 109

    def test_errors_are_one_message_and_no_database_is_started(self, commands: Scenebook) -> None:
        assert "There is no file gone.png" in commands.error("classify", "gone.png", "a", "b")
        assert "Give --image" in commands.error("encode")
        assert not commands.home.exists()


def documented(command: str) -> Any:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    found = re.search(rf"`{command} [^`]*--json`.*?```json\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_parent_imports_no_model() -> None:
    code = (
        "import sys\n"
        "from scenebook.settings import load\n"
        "from scenebook.seeing import VisualModel\n"
        "with VisualModel(load({'CLIP_MODEL_NAME': 'fake'})) as model: model.encode_text('red')\n"
        "print({'torch', 'open_clip', 'onnxruntime', 'scipy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_documented_python_runs(tmp_path: Path) -> None:
    (tmp_path / "crop.jpg").write_bytes(gradient((60, 40)))
    page = (ROOT / "docs" / "classification.md").read_text("utf-8")
    given = "import numpy as np\nsimilarities, labels = np.eye(3), ('a', 'b', 'c')\n"
    given += "true_label = np.array([0, 1, 1])\n"
    code = given + "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    environ = process_environment({"CLIP_MODEL_NAME": "fake"})
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True)


class TestShippedCheckpoint:
    def test_a_wrong_label_is_refused_and_the_right_one_is_best(self, figures: VisualModel) -> None:
        picture = paint(Drawing((Figure("circle", "red"),), position="centre", seed=5))
        right = figures.verify_classification(picture, "red circle", threshold=0.7)
        assert right["is_match"] is True
        assert right["calibrated"] is True
        wrong = figures.verify_classification(picture, "blue square", threshold=0.7)
        assert wrong["is_match"] is False
        assert wrong["probability"] < 0.05
        assert wrong["confidence"] == "low"
        assert wrong["best"]["label"] == "red circle"

    def test_the_words_may_differ_from_those_of_its_labels(self, figures: VisualModel) -> None:
        picture = paint(Drawing((Figure("circle", "yellow"),), position="top left", seed=8))
        for label in ("Yellow Circle", "a yellow circle", "yellow circles"):
            assert figures.verify_classification(picture, label)["is_match"] is True

    def test_its_probabilities_are_calibrated(self, figures: VisualModel) -> None:
        rng = random.Random(300)
        # What the scale was fitted for: pictures of one thing. Few would measure chance.
        drawings = [sample(rng, "single") for _ in range(400)]
        labels = [f"{colour} {shape}" for shape in SHAPES for colour in COLOURS]
        names = [f"{one.figures[0].colour} {one.figures[0].shape}" for one in drawings]
        found = figures.classify_images([paint(drawing) for drawing in drawings], labels)
        shares = np.zeros((len(found), len(labels)))
        for row, one in zip(shares, found, strict=True):
            for entry in one["ranked"]:
                row[labels.index(entry["label"])] = entry["probability"]
        truth = np.array([labels.index(name) for name in names])
        assert (shares.argmax(axis=1) == truth).mean() > 0.8
        assert expected_calibration_error(shares, truth) <= 0.1
        assert all(one["calibrated"] for one in found)

    def test_it_knows_what_it_was_trained_on(self, figures: VisualModel) -> None:
        assert "red circle" in figures.calibration().labels
        assert figures.get_embedding_dim() == 128

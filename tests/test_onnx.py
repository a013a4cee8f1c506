"""Exported models answer as torch does, in the same spaces, without torch; or they are not used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scenebook.encoders import checkpoints as shipped
from scenebook.encoders.checkpoints import clip_source
from scenebook.encoders.client import Encoders
from scenebook.encoders.exports import (
    all_exports,
    export_model,
    exports_dir,
    find_export,
    read_export,
)
from scenebook.encoders.gate import (
    Encoded,
    compared,
    gate_items,
    gate_sentences,
    judge,
)
from scenebook.encoders.inference import model_options
from scenebook.encoders.spaces import identity
from scenebook.errors import ConfigurationError, ExportRefused, ModelUnavailable
from scenebook.model import Channel
from scenebook.settings import load
from tests.checkpoints import checkpoints
from tests.exported import exported, settings
from tests.pictures import gradient, png

LONG_TEXT = "The quick brown fox, naïve as ever, jumps over 13 lazy dogs. " * 60


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints(tmp_path_factory) / "clip"


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)


@pytest.fixture(scope="module")
def onnx(local: Path, exports: Path) -> Iterator[Encoders]:
    encoders = Encoders(settings(local, exports, ENCODER_RUNTIME="onnx"))
    yield encoders
    encoders.close()


@pytest.fixture(scope="module")
def torch(local: Path, exports: Path) -> Iterator[Encoders]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        encoders = Encoders(settings(local, exports, ENCODER_RUNTIME="torch"))
        yield encoders
        encoders.close()


@pytest.fixture
def made() -> Iterator[Callable[..., Encoders]]:
    """Makes encoders that are closed at the end."""
    opened: list[Encoders] = []

    def make(checkpoint: Path, root: Path, **more: str) -> Encoders:
        opened.append(Encoders(settings(checkpoint, root, **more)))
        return opened[-1]

    yield make
    for encoders in opened:
        encoders.close()


def images(encoders: Encoders, pictures: list[bytes]) -> np.ndarray:
    answers = encoders.encode_images(pictures)
    return np.stack([answer.vector for answer in answers if answer.vector is not None])


class TestSameAnswers:
    def test_pictures_and_words_are_where_torch_puts_them(
        self, onnx: Encoders, torch: Encoders
    ) -> None:
        pictures = [
            gradient((320, 180)),
            png("red"),
            gradient((100, 300)),
            png("blue", size=(9, 9)),
        ]
        words = ["a red circle", "", "ÆØÅ &amp; 😀 " * 30, "<end_of_text>"]
        assert onnx.image_space() == torch.image_space()
        for ask in (lambda one: images(one, pictures), lambda one: _words(one, words)):
            mine, theirs = ask(onnx), ask(torch)
            assert mine.shape == theirs.shape
            assert (mine * theirs).sum(axis=1).min() >= 0.99

    def test_texts_are_where_torch_puts_them_and_cut_at_the_same_places(
        self, onnx: Encoders, torch: Encoders
    ) -> None:
        assert onnx.text_space(Channel.TRANSCRIPT) == torch.text_space(Channel.TRANSCRIPT)
        pieces = onnx.text_pieces(LONG_TEXT)
        assert pieces == torch.text_pieces(LONG_TEXT)
        assert len(pieces) > 1
        texts = [*pieces, "a cat", LONG_TEXT]
        mine, theirs = (np.stack(one.encode_texts(texts)) for one in (onnx, torch))
        assert (mine * theirs).sum(axis=1).min() >= 0.99

    def test_a_vector_does_not_depend_on_its_neighbours(self, onnx: Encoders) -> None:
        pictures = [gradient((320, 180)), png("white"), png("black")]
        together = images(onnx, pictures)
        alone = np.concatenate([images(onnx, [picture]) for picture in pictures])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(
            onnx.encode_texts(["a cat", LONG_TEXT])[0], onnx.encode_texts(["a cat"])[0]
        )

    def test_preprocessing_and_tokens_are_those_of_open_clip(self) -> None:
        program = [sys.executable, "-m", "tests.compare_with_open_clip"]
        ran = subprocess.run(program, check=True, timeout=120, capture_output=True)
        found = json.loads(ran.stdout)
        assert found["texts"] == []
        assert found["error"] <= 1e-6

    def test_a_letterbox_is_another_space_in_both_runtimes(
        self, local: Path, exports: Path, made: Callable[..., Encoders], onnx: Encoders
    ) -> None:
        both = [
            made(local, exports, CLIP_FIT="letterbox", ENCODER_RUNTIME=runtime)
            for runtime in ("onnx", "torch")
        ]
        assert {one.image_space().revision for one in both} == {"longest-64-bicubic"}
        wide = [gradient((400, 100))]
        mine, theirs = (images(one, wide) for one in both)
        assert float((mine * theirs).sum()) >= 0.99
        assert float((mine * images(onnx, wide)).sum()) < 0.9999


def _words(encoders: Encoders, words: list[str]) -> np.ndarray:
    return np.stack(encoders.encode_query_image_text(words))


class TestWithoutTorch:
    def test_a_child_with_exports_imports_no_torch(self, local: Path, exports: Path) -> None:
        configured = settings(local, exports, ENCODER_RUNTIME="auto")
        options = {kind: model_options(configured, kind, threads=1) for kind in ("clip", "text")}
        program = (
            "import sys, json\n"
            "from scenebook.encoders.child import Inference\n"
            "inference = Inference()\n"
            "for kind, options in json.loads(sys.argv[1]).items():\n"
            "    loaded = inference.load({'kind': kind, 'options': options}, print)\n"
            "    assert loaded['runtime'] == 'onnx', loaded\n"
            "inference.encode_words({'texts': ['a cat']}, print)\n"
            "inference.encode_texts({'texts': ['a cat']}, print)\n"
            "heavy = {'torch', 'torchvision', 'open_clip', 'transformers', 'onnx', 'scipy',\n"
            "         'sentence_transformers'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        command = [sys.executable, "-c", program, json.dumps(options)]
        subprocess.run(command, check=True, timeout=60)

    def test_threads_are_those_that_were_asked_for_and_do_not_spin(self, exports: Path) -> None:
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from scenebook.encoders.onnx_session import Session\n"
            "options = Session(Path(sys.argv[1]), threads=2)._session.get_session_options()\n"
            "spins = options.get_session_config_entry('session.intra_op.allow_spinning')\n"
            "print(options.intra_op_num_threads, options.inter_op_num_threads, spins)\n"
        )
        (graph,) = exports.glob("clip-*/image.onnx")
        command = [sys.executable, "-c", program, str(graph)]
        done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
        assert done.stdout.split() == ["2", "1", "0"]

    def test_without_an_export_onnx_says_which_command_makes_one(
        self, local: Path, tmp_path: Path, made: Callable[..., Encoders]
    ) -> None:
        encoders = made(local, tmp_path, ENCODER_RUNTIME="onnx")
        answer = encoders.encode_images([png()])[0]
        assert answer.status == "load_error"
        assert "`scenebook models export`" in (answer.error or "")
        with pytest.raises(ModelUnavailable, match="`scenebook models export`"):
            encoders.encode_texts(["a cat"])

    def test_a_truncated_export_is_seen_and_not_loaded(
        self, local: Path, exports: Path, tmp_path: Path, made: Callable[..., Encoders]
    ) -> None:
        whole = find_export(exports, "clip", "clip", identity(local))
        assert whole is not None
        assert whole.damaged() == []
        copy = Path(shutil.copytree(whole.directory, tmp_path / "exports" / "copy"))
        graph = copy / "image.onnx.data"
        graph.write_bytes(graph.read_bytes()[:-1000])
        export = read_export(copy)
        assert export is not None
        assert export.damaged() == ["image.onnx.data"]
        encoders = made(local, tmp_path / "exports", ENCODER_RUNTIME="onnx")
        with pytest.raises(ModelUnavailable, match="Make it again"):
            encoders.image_space()
        fallback = made(local, tmp_path / "exports")
        assert fallback.encode_images([png()])[0].status == "ok"

    def test_an_export_that_is_replaced_under_a_running_child_is_loaded_anew(
        self, local: Path, exports: Path, tmp_path: Path, made: Callable[..., Encoders]
    ) -> None:
        whole = find_export(exports, "clip", "clip", identity(local))
        assert whole is not None
        before = Path(shutil.copytree(whole.directory, tmp_path / "exports" / "before"))
        encoders = made(local, tmp_path / "exports", ENCODER_RUNTIME="onnx")
        assert encoders.encode_images([png()])[0].status == "ok"
        before.rename(before.with_name("after"))
        with pytest.raises(ModelUnavailable, match="Make it again"):
            _words(encoders, ["a cat"])
        assert len(_words(encoders, ["a cat"])) == 1


class TestExports:
    def test_an_export_says_what_it_is_and_what_was_measured(
        self, local: Path, exports: Path
    ) -> None:
        export = find_export(exports, "clip", "clip", identity(local))
        assert export is not None
        assert export.precision == "int8"
        assert export.revision == "shortest-64-bicubic-centre-crop"
        assert export.figures["item_cosine_min"] >= 0.99
        assert export.size_bytes > 1_000_000
        text = next(one for one in all_exports(exports) if one.kind == "text")
        assert text.figures["ranking_asked"] == 1
        assert text.figures["another_first"] == 0
        assert text.figures["torch_recall_at_1"] > 0.9

    def test_only_this_model_with_these_weights_is_found(self, local: Path, exports: Path) -> None:
        weights = identity(local)
        assert find_export(exports, "clip", "clip", "clip@sha256:0000") is None
        assert find_export(exports, "clip", "another", weights) is None
        assert find_export(exports, "text", "clip", weights) is None
        assert find_export(exports, "clip", "clip", weights, "squash-64-bicubic") is None

    def test_what_is_no_export_is_passed_over(self, exports: Path, tmp_path: Path) -> None:
        whole = all_exports(exports)[0]
        described = json.loads((whole.directory / "export.json").read_text())
        for name, text in {
            "garbage": "{",
            "list": "[]",
            "future": json.dumps(described | {"format": 99}),
            "without files": json.dumps(described),
            ".making-half": json.dumps(described | {"checksums": {}}),
        }.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "export.json").write_text(text)
        (tmp_path / "refused").mkdir()
        refused = described | {"checksums": {}, "accepted": False}
        (tmp_path / "refused" / "export.json").write_text(json.dumps(refused))
        assert [export.directory.name for export in all_exports(tmp_path)] == ["refused"]
        assert find_export(tmp_path, whole.kind, whole.model, whole.weights) is None

    def test_a_refused_export_leaves_nothing(
        self, local: Path, exports: Path, tmp_path: Path
    ) -> None:
        checkpoint = Path(shutil.copytree(local, tmp_path / "clip"))
        weights = checkpoint / "open_clip_model.safetensors"
        tensors = load_file(weights)
        tensors["visual.proj"] = np.full_like(tensors["visual.proj"], np.nan)
        save_file(tensors, weights)
        before = sorted(exports.iterdir())
        steps: list[str] = []
        with pytest.raises(ExportRefused, match=r"int8: .* vectors of norm nan instead of 1"):
            export_model(settings(checkpoint, exports), "clip", on_step=steps.append)
        assert sorted(exports.iterdir()) == before
        assert steps[0] == "Loading the model in torch"
        assert any(step.startswith("Refused") for step in steps)

    def test_a_repeated_export_replaces_the_earlier_one(
        self, local: Path, exports: Path, tmp_path: Path
    ) -> None:
        earlier = find_export(exports, "clip", "clip", identity(local))
        assert earlier is not None
        shutil.copytree(earlier.directory, tmp_path / "earlier")
        made = export_model(settings(local, tmp_path), "clip", precision="fp32")
        assert made.precision == "fp32"
        assert made.figures["item_cosine_min"] > 0.9999
        assert [export.directory for export in all_exports(tmp_path)] == [made.directory]
        assert list(tmp_path.iterdir()) == [made.directory]

    def test_a_remote_text_model_cannot_be_exported(self) -> None:
        with pytest.raises(ConfigurationError, match="TEXT_EMBEDDING_PROVIDER=openai"):
            export_model(load({"TEXT_EMBEDDING_PROVIDER": "openai"}), "text")

    def test_exports_are_kept_beside_the_packages_unless_told_otherwise(
        self, tmp_path: Path
    ) -> None:
        assert exports_dir(load({})) == Path(sys.prefix) / "share" / "scenebook" / "exports"
        assert exports_dir(load({"ENCODER_EXPORTS_DIR": str(tmp_path)})) == tmp_path


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class TestGate:
    """Forty queries and items in 16 dimensions; each query lies near its own item."""

    items = unit(np.random.default_rng(0).standard_normal((40, 16)))
    queries = unit(items + 0.1 * np.random.default_rng(1).standard_normal((40, 16)))

    def encoded(self, queries: np.ndarray, items: np.ndarray | None = None) -> Encoded:
        found = self.items if items is None else items
        return Encoded(queries.astype(np.float32), found.astype(np.float32), range(len(queries)))

    def test_the_same_answers_pass(self) -> None:
        figures = compared(self.encoded(self.queries), self.encoded(self.queries))
        judge(figures)
        assert figures["torch_recall_at_1"] == 1
        assert figures["another_first"] == 0

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda vector: np.full(16, np.nan), "norms up to nan away from 1"),
            (lambda vector: 1.1 * vector, "norms up to 0.1 away from 1; at most 0.001"),
            (lambda vector: -vector, r"lowest cosine of its query vectors .* is -1.0000; .* 0.99"),
        ],
    )
    def test_one_bad_vector_is_refused_with_its_figure(
        self, change: Callable[[np.ndarray], np.ndarray], reason: str
    ) -> None:
        queries = self.queries.copy()
        queries[7] = change(queries[7])
        with pytest.raises(ExportRefused, match=reason):
            judge(compared(self.encoded(self.queries), self.encoded(queries)))

    def between(self, lead: float) -> tuple[np.ndarray, np.ndarray]:
        """Queries and items of which the first query prefers its item by so much only."""
        items = np.eye(40, 41, dtype=np.float32)
        queries = items.copy()
        queries[0, 1] = 1 - lead
        return unit(queries), items

    def test_another_first_is_refused_however_near(self) -> None:
        queries, items = self.between(0.01)
        turned = queries.copy()
        turned[0, :2] = queries[0, 1], queries[0, 0]
        with pytest.raises(ExportRefused, match="1 of 40 gate queries find another first"):
            judge(compared(self.encoded(queries, items), self.encoded(turned, items)))

    def test_a_tie_that_stored_vectors_cannot_tell_apart_is_no_difference(self) -> None:
        queries, items = self.between(1e-6)
        turned = queries.copy()
        turned[0, :2] = queries[0, 1], queries[0, 0]
        figures = compared(self.encoded(queries, items), self.encoded(turned, items))
        judge(figures)
        assert figures["export_recall_at_1"] < 1

    def test_a_model_that_guesses_has_no_ranking_to_keep(self) -> None:
        guessing = self.encoded(np.roll(self.queries, 1, axis=0))
        other = unit(guessing.queries + 0.001 * self.items[::-1])
        figures = compared(guessing, self.encoded(other))
        judge(figures)
        assert figures["ranking_asked"] == 0

    def test_the_gate_has_enough_to_ask_and_every_sentence_has_a_counterpart(self) -> None:
        items = gate_items()
        texts, wanted = gate_sentences()
        assert min(len(items), len(texts)) >= 32
        assert len({caption for _, caption in items}) == len(items)
        assert [wanted[place] for place in wanted] == list(range(len(texts)))


class TestCalibration:
    def test_without_a_file_it_is_the_scale_that_the_model_was_trained_with(
        self, onnx: Encoders, torch: Encoders
    ) -> None:
        calibration = onnx.image_calibration()
        assert not calibration.calibrated
        assert calibration.labels == ()
        assert calibration.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)
        assert calibration == torch.image_calibration()

    def test_a_file_overrides_it_and_changes_no_space(
        self, local: Path, exports: Path, tmp_path: Path, made: Callable[..., Encoders]
    ) -> None:
        checkpoint = Path(shutil.copytree(local, tmp_path / "clip"))
        file = checkpoint / "calibration.json"
        file.write_text(json.dumps({"logit_scale": 31.5, "labels": ["red circle", "blue star"]}))
        encoders = made(checkpoint, exports, ENCODER_RUNTIME="onnx")
        calibration = encoders.image_calibration()
        assert (calibration.logit_scale, calibration.calibrated) == (31.5, True)
        assert calibration.labels == ("red circle", "blue star")
        assert identity(checkpoint) == identity(local)

    @pytest.mark.parametrize("text", ["{", "[]", '{"logit_scale": -1, "labels": []}', "{}"])
    def test_a_file_that_makes_no_sense_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "calibration.json").write_text(text)
        with pytest.raises(ModelUnavailable, match="is no calibration"):
            _ = clip_source("ViT-B-32", str(tmp_path)).calibration

    def test_the_shipped_checkpoint_goes_by_its_name(
        self, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "figures")
        with pytest.raises(ModelUnavailable, match="CLIP_MODEL_NAME=figures is missing"):
            clip_source("figures", "openai")
        shutil.copytree(local, tmp_path / "figures")
        source = clip_source("figures", "openai")
        assert (source.model, source.weights) == ("figures", identity(tmp_path / "figures"))

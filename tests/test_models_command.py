"""`scenebook models`: what is configured, whether it is whole, and what is said where it is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scenebook.encoders.fake import FAKE
from scenebook.encoders.spaces import GOLDEN
from scenebook.hub_cache import clip_repository, snapshot, speech_repository
from scenebook.model_files import Origin, damage, model_files
from scenebook.settings import load
from tests.checkpoints import CLIP_DIMENSIONS, checkpoints
from tests.commands import Scenebook, documented
from tests.exported import exported

WEIGHTS = "open_clip_model.safetensors"
# Nothing listens there, and the answer that nothing does comes at once.
NO_HUB = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints(tmp_path_factory) / "clip"


@pytest.fixture
def checkpoint(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


@pytest.fixture
def commands(checkpoint: Path, tmp_path: Path) -> Scenebook:
    """Commands that know one local CLIP checkpoint and no hub."""
    return Scenebook(
        tmp_path / "data",
        CLIP_ENABLED="true",
        CLIP_PRETRAINED=str(checkpoint),
        ENCODER_EXPORTS_DIR=str(tmp_path / "exports"),
        HF_HOME=str(tmp_path / "hub"),
        HF_ENDPOINT=NO_HUB,
    )


class TestList:
    def test_each_kind_has_the_documented_shape(
        self, commands: Scenebook, checkpoint: Path
    ) -> None:
        clip, text, speech = commands.json("models", "list")
        (example,) = documented("`models list --json`")
        assert list(clip) == list(text) == list(speech) == list(example)
        assert list(clip["space"]) == list(example["space"])
        assert (clip["kind"], clip["origin"], clip["cached"]) == ("clip", "local", True)
        assert clip["place"] == str(checkpoint)
        assert clip["space"]["weights"].startswith("copy@sha256:")
        assert clip["sha256"] == clip["files"][WEIGHTS]
        assert clip["runtime"] == "torch"
        assert text["origin"] == "fake"
        assert (speech["used"], speech["cached"], speech["runtime"]) == (
            False, False, "ctranslate2"
        )  # fmt: skip

    def test_the_table_names_the_models(self, commands: Scenebook) -> None:
        printed = commands.run("models", "list").stdout
        assert re.search(r"^clip +ViT-B-32 .* yes ", printed, re.M)
        assert "speech (off)" in printed

    def test_the_default_text_model_comes_with_its_package(self) -> None:
        model = model_files(load({}), "text")
        assert model.origin is Origin.PACKAGE
        assert model.cached
        named = model.named()
        assert named is not None
        assert named[0] == "all-MiniLM-L6-v2"

    def test_a_fake_and_a_remote_model_have_no_files(self) -> None:
        fake = model_files(load({"CLIP_MODEL_NAME": FAKE}), "clip")
        remote = model_files(load({"TEXT_EMBEDDING_PROVIDER": "openai"}), "text")
        assert (fake.origin, remote.origin) == (Origin.FAKE, Origin.REMOTE)
        assert not fake.cached
        assert fake.named() is None
        assert remote.named() is None

    def test_what_a_hub_gave_is_found_in_its_cache(self, tmp_path: Path) -> None:
        assert clip_repository("ViT-B-32", "openai") == "timm/vit_base_patch32_clip_224.openai"
        assert clip_repository("ViT-H-14-quickgelu", "dfn5b") == "apple/DFN5B-CLIP-ViT-H-14"
        assert clip_repository("ViT-B-16-SigLIP", "webli") == "timm/ViT-B-16-SigLIP"
        assert clip_repository("ViT-B-32", "nobody") is None
        assert speech_repository("base") == "Systran/faster-whisper-base"
        settings = load({"CLIP_CACHE_DIR": str(tmp_path)})
        assert not model_files(settings, "clip").cached
        folder = tmp_path / "models--timm--vit_base_patch32_clip_224.openai"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        assert not model_files(settings, "clip").cached
        (folder / "snapshots" / "abc" / WEIGHTS).write_bytes(b"weights")
        assert model_files(settings, "clip").cached
        assert snapshot(tmp_path, "timm/another") is None

    def test_listing_loads_no_model_library(self) -> None:
        program = (
            "import sys\n"
            "sys.argv = ['scenebook', 'models', 'list', '--json']\n"
            "from scenebook.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "heavy = {'torch', 'open_clip', 'sentence_transformers', 'onnxruntime'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr.splitlines()[-1] == "[]"


class TestPull:
    def test_without_a_hub_there_is_one_error_that_says_what_to_do(
        self, commands: Scenebook
    ) -> None:
        commands.environ["CLIP_PRETRAINED"] = "openai"
        commands.environ["CLIP_CACHE_DIR"] = str(commands.home / "clip")
        said = commands.error("models", "pull", "clip")
        assert len(said.strip().splitlines()) == 1
        assert f"{NO_HUB} does not answer" in said
        assert "timm/vit_base_patch32_clip_224.openai cannot be downloaded" in said
        assert "CLIP_MODEL_NAME=figures needs no hub" in said
        commands.environ["HF_HUB_OFFLINE"] = "1"
        assert "HF_HUB_OFFLINE is set" in commands.error("models", "pull", "clip")


class TestVerify:
    def test_a_local_checkpoint_is_pulled_verified_and_recorded(
        self, commands: Scenebook, checkpoint: Path
    ) -> None:
        done = commands.run("models", "pull", "clip")
        assert "nothing to pull" in done.stderr
        (listed,) = (one for one in commands.json("models", "list") if one["kind"] == "clip")
        assert listed["space"]["dimensions"] == CLIP_DIMENSIONS
        found = commands.json("models", "verify", "clip")
        assert found["ok"]
        assert [check["verdict"] for check in found["checks"]] == ["ok", "ok"]
        # One more space in the configuration: the model is as good, and not the recorded one.
        configuration = checkpoint / "open_clip_config.json"
        configuration.write_text(configuration.read_text() + " ")
        (checkpoint / GOLDEN).write_text('{"pictures": []}')
        found = commands.json("models", "verify", "clip", code=1)
        files, vectors, stored = found["checks"]
        assert (files["verdict"], vectors["verdict"]) == ("fail", "ok")
        assert f"under the same name: {GOLDEN}, open_clip_config.json" in files["detail"]
        assert "models pull clip" in files["remedy"]
        assert (stored["verdict"], stored["name"]) == ("fail", "clip golden vectors")

    def test_a_truncated_checkpoint_is_named_without_being_loaded(
        self, commands: Scenebook, checkpoint: Path
    ) -> None:
        weights = checkpoint / WEIGHTS
        size = weights.stat().st_size
        weights.write_bytes(weights.read_bytes()[: size // 2])
        found = commands.json("models", "verify", "clip", code=1)
        assert [check["verdict"] for check in found["checks"]] == ["fail"]
        assert f"{WEIGHTS} has {size // 2} bytes instead of {size}" in found["checks"][0]["detail"]
        assert str(checkpoint) in found["checks"][0]["remedy"]

    def test_what_is_not_cached_is_said_and_not_downloaded(self, commands: Scenebook) -> None:
        found = commands.json("models", "verify", "speech", code=1)
        assert "not on this machine" in found["checks"][0]["detail"]
        commands.environ["TRANSCRIPTION_PROVIDER"] = "auto"
        assert commands.json("models", "verify", "speech")["checks"][0]["verdict"] == "warn"

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("a.safetensors", b"words that are no header at all", "no safetensors file"),
            ("a.safetensors", b"\x02" + bytes(7) + b"[]", "no safetensors file"),
            ("a.safetensors", b"", "is empty"),
            ("a.pt", b"PK\x03\x04 and no more", "cut short"),
            ("a.json", b'{"model_cfg": ', "no JSON"),
            ("a.json", b"\xff\xfe", "no JSON"),
        ],
    )
    def test_a_file_that_cannot_be_whole_is_known_by_its_form(
        self, tmp_path: Path, name: str, content: bytes, reason: str
    ) -> None:
        file = tmp_path / name
        file.write_bytes(content)
        assert reason in (damage(file) or "")

    def test_whole_files_are_not_damaged(self, good: Path) -> None:
        assert [damage(file) for file in sorted(good.iterdir())] == [None, None]


class TestExport:
    @pytest.fixture
    def exporting(
        self,
        commands: Scenebook,
        good: Path,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Scenebook:
        """Commands that know a checkpoint with an accepted export."""
        shutil.copytree(exported(tmp_path_factory), tmp_path / "exports")
        commands.environ["CLIP_PRETRAINED"] = str(good)
        return commands

    def test_an_accepted_export_is_listed_used_and_kept(self, exporting: Scenebook) -> None:
        clip, *_ = exporting.json("models", "list")
        (example,) = documented("`models list --json`")
        assert list(clip["export"]) == list(example["export"])
        assert (clip["runtime"], clip["export"]["accepted"]) == ("onnx", True)
        assert clip["space"]["dimensions"] == CLIP_DIMENSIONS
        done = exporting.run("models", "export", "--if-missing", "--json")
        (kept,) = json.loads(done.stdout)
        assert kept == {"kind": "clip", "model": "clip", **clip["export"]}
        assert done.stderr.split() == ["text:", "not", "in", "use."]
        exporting.environ["ENCODER_RUNTIME"] = "torch"
        clip, *_ = exporting.json("models", "list")
        assert clip["runtime"] == "torch"

    def test_an_export_is_verified_beside_torch(self, exporting: Scenebook) -> None:
        found = exporting.json("models", "verify", "clip")
        assert {check["name"]: check["verdict"] for check in found["checks"]} == dict.fromkeys(
            ["clip files", "clip by torch", "clip by onnx", "clip export"], "ok"
        )
        assert "cosine to torch at least 0.99" in found["checks"][-1]["detail"]


def test_an_export_of_a_remote_model_is_refused(commands: Scenebook) -> None:
    commands.environ["TEXT_EMBEDDING_PROVIDER"] = "openai"
    assert "TEXT_EMBEDDING_PROVIDER=openai" in commands.error("models", "export", "text")


def test_speed_is_measured_for_each_runtime_that_is_here(commands: Scenebook) -> None:
    words = ("models", "benchmark", "--batch", "2", "--rounds", "1")
    (measured,) = commands.json(*words)
    assert measured["kind"] == "clip"
    assert list(measured["runtimes"]) == ["torch"]
    figures = measured["runtimes"]["torch"]
    assert list(figures) == ["images/s, batch 2", "queries/s", "peak memory, MiB"]
    assert all(figure > 0 for figure in figures.values())

"""Text and speech models in their child, a parent that stays light, fakes that say so."""

import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from scenebook.encoders.checkpoints import DEFAULT_PRETRAINED, SHIPPED, clip_source
from scenebook.encoders.client import Encoders
from scenebook.encoders.inference import CHILD_MODULE, cores
from scenebook.errors import ConfigurationError, InvalidMedia, ModelUnavailable
from scenebook.model import Channel, Utterance, UtteranceSource
from scenebook.settings import Settings, load
from tests.checkpoints import SCRIPT, checkpoints

SPEECH = Path(__file__).parent / "media" / "whats_the_weather_like.wav"
MUSIC = Path(__file__).parent / "media" / "solo_trumpet.ogg"


@pytest.fixture(scope="module")
def local() -> Iterator[Encoders]:
    """The default text model, from its package."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        encoders = Encoders(load({}))
        yield encoders
        encoders.close()


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoders]:
    """A real faster-whisper whose weights always say the same sentence."""
    whisper = checkpoints(tmp_path_factory) / "whisper"
    encoders = Encoders(load({"WHISPER_MODEL": str(whisper)}))
    yield encoders
    encoders.close()


def sound(path: Path, samples: np.ndarray) -> Path:
    """A mono 16 kHz WAV file of samples from -1 to 1."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path


def heard(encoders: Encoders, audio: Path) -> list[Utterance]:
    return encoders.transcribe(audio, language=None, on_progress=lambda share: None)


class TestParent:
    def test_a_parent_of_encoders_imports_no_model_library(self) -> None:
        program = (
            "import sys\n"
            "from scenebook.encoders.client import Encoders\n"
            "from scenebook.settings import load\n"
            "encoders = Encoders(load({'CLIP_ENABLED': 'true', 'CLIP_MODEL_NAME': 'fake'}))\n"
            "assert encoders.encode_images([b'x'])[0].status == 'decode_error'\n"
            "encoders.close()\n"
            "heavy = {'torch', 'torchvision', 'open_clip', 'cv2', 'av', 'faster_whisper',\n"
            "         'ctranslate2', 'onnxruntime', 'sentence_transformers', 'transformers'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    def test_there_is_at_least_one_core(self) -> None:
        assert cores() >= 1

    @pytest.mark.parametrize(
        ("values", "threads"),
        [
            ({}, "6"),
            ({"WORKER_CONCURRENCY": "2"}, "3"),
            ({"WORKER_CONCURRENCY": "9"}, "1"),
            ({"WORKER_CONCURRENCY": "2", "CLIP_CPU_THREADS": "5"}, "5"),
        ],
    )
    def test_cores_are_shared_by_the_jobs_that_run_at_once(
        self, values: dict[str, str], threads: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scenebook.encoders.inference.cores", lambda: 6)
        before = set(psutil.Process().children())
        encoders = Encoders(load({"CLIP_ENABLED": "true", "CLIP_MODEL_NAME": "fake"} | values))
        encoders.encode_images([b"x"])
        (child,) = set(psutil.Process().children()) - before
        told, words = child.environ(), child.cmdline()
        encoders.close()
        assert CHILD_MODULE in words
        assert (told["OMP_NUM_THREADS"], told["OMP_WAIT_POLICY"]) == (threads, "PASSIVE")


class TestText:
    def test_the_default_model_works_offline_and_names_its_space(self, local: Encoders) -> None:
        space = local.text_space(Channel.TRANSCRIPT)
        assert space.channel is Channel.TRANSCRIPT
        assert space.model == "all-MiniLM-L6-v2"
        assert "@sha256:" in space.weights
        assert space.dimensions == 384
        assert local.text_space(Channel.SUMMARY).weights == space.weights

    def test_vectors_have_norm_1_and_lie_by_meaning(self, local: Encoders) -> None:
        cat, kitten, stocks = local.encode_texts(
            ["A cat sits on the mat.", "The kitten rests on a rug.", "Stock markets fell today."]
        )
        assert cat.dtype == np.float32
        assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
        assert float(cat @ kitten) > 0.5 > 0.2 > float(cat @ stocks)

    def test_order_is_kept_over_several_requests(self, local: Encoders) -> None:
        texts = [f"{'word ' * (number % 7)}number {number}" for number in range(70)]
        together = local.encode_texts(texts)
        assert len(together) == 70
        for place in (0, 6, 64, 69):
            alone = local.encode_texts([texts[place]])[0]
            np.testing.assert_allclose(together[place], alone, atol=1e-4)

    def test_long_text_is_cut_between_sentences_to_fit_the_window(self, local: Encoders) -> None:
        sentence = "The quick brown fox jumps over the lazy dog near the river bank."
        text = " ".join([sentence] * 60)
        pieces = local.text_pieces(text)
        assert " ".join(pieces) == text
        assert 3 <= len(pieces) <= 5
        assert all(piece.endswith("bank.") for piece in pieces)
        # A piece that were too long would be cut silently, and its end would not count.
        for piece in pieces:
            other = piece.removesuffix("near the river bank.") + "in outer space, on Mars."
            whole, changed = local.encode_texts([piece, other])
            assert float(whole @ changed) < 0.9999

    def test_a_sentence_longer_than_the_window_is_cut_between_words(self, local: Encoders) -> None:
        text = "extraordinarily unpunctuated words " * 300
        pieces = local.text_pieces(text)
        assert len(pieces) > 3
        assert " ".join(pieces).split() == text.split()

    def test_blank_text_has_no_piece(self, local: Encoders) -> None:
        assert local.text_pieces(" \n ") == []
        assert local.encode_texts([]) == []

    def test_a_missing_model_is_unavailable_and_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("HF_HUB_OFFLINE", "1")
            settings = {"TEXT_EMBEDDING_MODEL": str(tmp_path / "nowhere")}
            encoders = Encoders(load(settings | {"TEXT_EMBEDDING_LOAD_TIMEOUT_S": "0.2"}))
            with pytest.raises(ModelUnavailable, match=r"did not load within 0\.2 s"):
                encoders.encode_texts(["words"])
            began = time.monotonic()
            with pytest.raises(ModelUnavailable):
                encoders.text_space(Channel.TRANSCRIPT)
            assert time.monotonic() - began < 0.1
            encoders.close()

    def test_the_remote_provider_is_not_answered_locally(self) -> None:
        with pytest.raises(ConfigurationError, match=r"scenebook\.remote"):
            Encoders(load({"TEXT_EMBEDDING_PROVIDER": "openai"})).encode_texts(["words"])


class TestFake:
    def test_the_fake_says_so_and_needs_no_child(self) -> None:
        encoders = Encoders(load({"TEXT_EMBEDDING_PROVIDER": "fake"}))
        assert encoders.text_space(Channel.TRANSCRIPT).model == "fake"
        one, same, other = encoders.encode_texts(["A red bird sings", "bird: a RED one", "stocks"])
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
        assert float(one @ same) > 0.5 > float(one @ other)
        words = " ".join(f"word{number}" for number in range(450))
        assert " ".join(encoders.text_pieces(words)) == words
        assert len(encoders.text_pieces(words)) == 3
        assert encoders.text_pieces("  ") == []


class TestSpeech:
    def test_speech_becomes_utterances_with_times(self, hearing: Encoders) -> None:
        shares: list[float] = []
        found = hearing.transcribe(SPEECH, language="en", on_progress=shares.append)
        assert [utterance.text for utterance in found] == ["".join(SCRIPT).strip()]
        assert found[0].source is UtteranceSource.WHISPER
        assert 0 <= found[0].start_ms < found[0].end_ms <= 2100
        assert shares[:2] == [0.0, 0.0]  # speech is found, the model is loaded
        assert 0 < shares[-1] <= 1

    def test_times_count_from_the_start_of_the_audio(
        self, hearing: Encoders, tmp_path: Path
    ) -> None:
        with wave.open(str(SPEECH), "rb") as file:
            spoken = np.frombuffer(file.readframes(-1), "<i2") / 32_768
        late = np.concatenate([np.zeros(20 * 16_000), spoken])
        found = heard(hearing, sound(tmp_path / "late.wav", late))
        assert len(found) == 1
        assert found[0].start_ms == pytest.approx(20_000, abs=700)

    def test_silence_a_tone_and_noise_say_nothing(self, hearing: Encoders, tmp_path: Path) -> None:
        clock = np.arange(8 * 16_000) / 16_000
        noise = np.random.default_rng(0).normal(0, 0.05, clock.size).clip(-1, 1)
        for name, samples in {
            "silence": np.zeros(clock.size),
            "tone": 0.5 * np.sin(2 * np.pi * 440 * clock),
            "noise": noise,
            "nothing": np.zeros(0),
        }.items():
            assert heard(hearing, sound(tmp_path / f"{name}.wav", samples)) == []

    def test_music_is_no_speech(self, hearing: Encoders) -> None:
        assert heard(hearing, MUSIC) == []

    def test_what_is_no_audio_is_invalid(self, hearing: Encoders, tmp_path: Path) -> None:
        broken = tmp_path / "broken.flac"
        broken.write_bytes(b"fLaC" + b"\x00" * 100)
        with pytest.raises(InvalidMedia, match="audio cannot be decoded"):
            heard(hearing, broken)

    def test_missing_weights_are_unavailable_but_silence_needs_none(self, tmp_path: Path) -> None:
        encoders = Encoders(load({"WHISPER_MODEL": str(tmp_path)}))
        assert heard(encoders, sound(tmp_path / "silence.wav", np.zeros(16_000))) == []
        with pytest.raises(ModelUnavailable, match="set WHISPER_MODEL to a directory"):
            heard(encoders, SPEECH)
        encoders.close()


def test_other_weights_win_over_the_name_of_the_shipped_checkpoint(tmp_path: Path) -> None:
    assert Settings().clip_pretrained == DEFAULT_PRETRAINED
    assert clip_source("figures", DEFAULT_PRETRAINED).pretrained == str(SHIPPED)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "open_clip_config.json").write_text("{}")
    source = clip_source("figures", str(mine))
    assert (source.model, source.pretrained) == ("mine", str(mine))

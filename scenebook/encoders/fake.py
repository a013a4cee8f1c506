"""Deterministic fakes beside the real models, for tests; their spaces say `fake`.

They see a little: the picture of a red square lies near the word "red", and texts that share words
lie near each other.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import signal
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from scenebook.encoders.spaces import LoadedModel

FAKE = "fake"
TEXT_DIMENSIONS = 256
TEXT_WINDOW_WORDS = 200
GRID = 6
CLIP_DIMENSIONS = 3 * GRID * GRID + 1


class FakeText:
    """Hashed words: each word adds its own direction; case and punctuation do not count."""

    loaded = LoadedModel(FAKE, "hashed-words", "1", TEXT_DIMENSIONS)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 256) vectors of norm 1."""
        rows = [sum(map(_direction, _words(text)), np.zeros(TEXT_DIMENSIONS)) for text in texts]
        return np.array([_unit(row) for row in rows], dtype=np.float32)

    def pieces(self, text: str) -> list[str]:
        """At most 200 words a piece."""
        words = text.split()
        starts = range(0, len(words), TEXT_WINDOW_WORDS)
        return [" ".join(words[start : start + TEXT_WINDOW_WORDS]) for start in starts]


class FakeClip:
    """Colours on a 6 x 6 grid. A picture whose comment says so misbehaves as a model can.

    Comments (PNG text "comment" or JPEG comment): hang, crash, oom, zero, nan, slow SECONDS.
    """

    loaded = LoadedModel(FAKE, "colours", f"grid-{GRID}", CLIP_DIMENSIONS, input_s=0.001)

    def encode(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(n, 109) vectors, of norm 1 unless the picture asks for another."""
        return np.array([_look(picture) for picture in pictures], dtype=np.float32)

    def encode_words(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of plain pictures in the first colour that each text names, else grey."""
        return np.array([_colours(_plain(text)) for text in texts], dtype=np.float32)


def _look(picture: Image.Image) -> NDArray[np.float64]:
    comment = picture.info.get("comment", "")
    order, _, value = (comment.decode() if isinstance(comment, bytes) else comment).partition(" ")
    if order == "hang":
        # As deaf as native code: even a handled signal would not end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            time.sleep(600)
    if order == "crash":
        ctypes.string_at(0)
    if order == "oom":
        raise MemoryError
    if order == "slow":
        time.sleep(float(value))
    vector = _colours(picture)
    return vector * {"zero": 0.0, "nan": np.nan}.get(order, 1.0)


def _colours(picture: Image.Image) -> NDArray[np.float64]:
    small = np.asarray(picture.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float64)
    # The constant keeps a mid-grey picture from being the zero vector.
    return _unit(np.append((small / 127.5 - 1).ravel(), 1.0))


def _plain(text: str) -> Image.Image:
    named = (word for word in _words(text) if word in ImageColor.colormap)
    return Image.new("RGB", (GRID, GRID), next(named, "#808080"))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _direction(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(TEXT_DIMENSIONS)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else np.eye(1, len(vector))[0]

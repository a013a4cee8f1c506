"""An exported CLIP in the inference child: both towers in ONNX Runtime, without torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenebook.encoders.exports import Export
from scenebook.encoders.onnx_session import Session, checked
from scenebook.encoders.preprocessing import Fit, Preprocessing
from scenebook.encoders.spaces import Calibration, LoadedModel
from scenebook.encoders.tokens import ClipTokenizer

IMAGE, TEXT, VOCABULARY = "image.onnx", "text.onnx", "tokenizer.json"


class OnnxClip:
    """One accepted export; vectors are float32, one row an input, of norm 1, as ClipModel's.

    An int8 graph takes one scale for all that is in a batch: pictures go through it one by one, so
    that a vector does not depend on its neighbours, which costs no time on a CPU. The text tower,
    which a worker never asks, is read when it is first needed. Raises ModelUnavailable.
    """

    def __init__(
        self,
        export: Export,
        *,
        device: str,
        max_image_size: int,
        fit: Fit,
        threads: int,
        calibration: Calibration | None,
    ) -> None:
        self._export = export
        self._threads = threads
        details = export.details
        self._preprocessing = Preprocessing.of(
            details["preprocessing"], fit=fit, max_image_size=max_image_size
        )
        self._images = Session(
            export.directory / IMAGE, threads=threads, at_once=threads, device=device
        )
        known = calibration or Calibration(**details["calibration"])
        self.loaded = LoadedModel(
            model=export.model,
            weights=export.weights,
            revision=self._preprocessing.revision,
            dimensions=export.dimensions,
            device=self._images.device,
            input_s=self._measure(),
            runtime="onnx",
            logit_scale=known.logit_scale,
            labels=tuple(known.labels),
            calibrated=known.calibrated,
        )

    def encode(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(n, dimensions) image vectors of upright RGB pictures."""
        batch = self._preprocessing.batch(pictures)
        if self._export.precision == "fp32":
            return self._images.run(batch)
        return self._images.run_each(batch)

    def encode_words(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of the text tower, comparable with image vectors."""
        tokenize, session = self._words
        # Where no token sees those after it, what follows the end of the text adds only time.
        tokens = tokenize if self._export.details["trims"] else tokenize.padded
        return session.run_each(tokens(text) for text in texts)

    @cached_property
    def _words(self) -> tuple[ClipTokenizer, Session]:
        details = self._export.details
        tokenizer = ClipTokenizer(
            self._export.directory / VOCABULARY,
            context_length=details["context_length"],
            clean=details["clean"],
        )
        path = self._export.directory / TEXT
        return tokenizer, Session(
            path, threads=self._threads, at_once=self._threads, device=self._images.device
        )

    def _measure(self) -> float:
        """Seconds of one picture; the first call, a warm-up, is checked and not counted."""
        size = (self._preprocessing.width, self._preprocessing.height)
        grey = Image.new("RGB", size, (128, 128, 128))
        checked(self.encode([grey]), self._export.directory)
        began = time.perf_counter()
        self.encode([grey])
        return time.perf_counter() - began

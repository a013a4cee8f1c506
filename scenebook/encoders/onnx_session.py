"""ONNX Runtime sessions for the inference child: threads that do not spin, CUDA where asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import ModelUnavailable

log = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
ERRORS_ONLY = 3


class Session:
    """One graph with one input and one output, a matrix of vectors.

    threads work on one input; at_once inputs run side by side. device becomes "cpu" where CUDA was
    asked for and is absent, with a warning. Raises ModelUnavailable if ONNX Runtime is missing or
    cannot read the file.
    """

    def __init__(self, path: Path, *, threads: int, at_once: int = 1, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelUnavailable(
                f"Exported models need the packages of the extra 'onnx' ({error}): pip install "
                "'scenebook[onnx]', or set ENCODER_RUNTIME=torch."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads lose most of their speed when another process wants the core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = ERRORS_ONLY
        on_cuda = device == "cuda" and CUDA in onnxruntime.get_available_providers()
        providers = [CUDA, CPU] if on_cuda else [CPU]
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=providers
            )
        except Exception as error:  # the door to ONNX Runtime's loader
            raise ModelUnavailable(
                f"The exported model {path} cannot be loaded ({type(error).__name__}). Make it "
                "again with `scenebook models export`, or set ENCODER_RUNTIME=torch."
            ) from error
        self.device = "cuda" if self._session.get_providers()[0] == CUDA else "cpu"
        if device != self.device:
            log.warning("CLIP_DEVICE=cuda, but ONNX Runtime finds no CUDA: CLIP runs on the CPU.")
        self._input = self._session.get_inputs()[0].name
        self._pool = ThreadPoolExecutor(at_once)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of n inputs."""
        (vectors,) = self._session.run(None, {self._input: batch})
        return np.asarray(vectors, dtype=np.float32)

    def run_each(self, inputs: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of n inputs, each in a batch of its own.

        Two threads gain half as much on one small input as on two side by side.
        """
        rows = list(self._pool.map(lambda one: self.run(one[None])[0], inputs))
        return np.array(rows, dtype=np.float32)


def checked(vectors: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """The vectors of a first input. Raises ModelUnavailable unless they are finite, of norm 1."""
    norms = np.linalg.norm(vectors, axis=1)
    if not np.allclose(norms, 1, atol=1e-3):  # NaN is not close to anything
        raise ModelUnavailable(
            f"The exported model {path} gives vectors of norm {norms[0]:g} instead of 1. Make it "
            "again with `scenebook models export`, or set ENCODER_RUNTIME=torch."
        )
    return vectors

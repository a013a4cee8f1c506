"""What a loaded model says of itself, and how weights are named so that spaces never mix."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenebook.model import Channel, EmbeddingSpace

# What decides a local model's vectors: weights, architecture, vocabulary, preprocessing.
MODEL_FILES = (".safetensors", ".bin", ".pt", ".pth", ".json", ".txt", ".model")
# Beside a CLIP checkpoint: how similarities become probabilities, and vectors to check it by.
CALIBRATION = "calibration.json"
GOLDEN = "golden.json"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How CLIP's similarities become probabilities: softmax of logit_scale times the similarities.

    calibrated says whether the scale was fitted on labelled pictures; else it is the one the model
    was trained with, and labels, what it was fitted for, is empty.
    """

    logit_scale: float
    labels: tuple[str, ...] = ()
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in the inference child: the fields of its embedding space and how it runs.

    input_s is the measured time of one input after a warm-up, in seconds. runtime is torch or onnx:
    it changes how a model runs, not its space. The last three are CLIP's calibration.
    """

    model: str
    weights: str
    revision: str
    dimensions: int
    device: str = "cpu"
    input_s: float = 0.0
    runtime: str = "torch"
    logit_scale: float = 0.0
    labels: tuple[str, ...] = ()
    calibrated: bool = False

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> LoadedModel:
        """The value that `message` made."""
        return cls(**{**message, "labels": tuple(message["labels"])})

    @property
    def calibration(self) -> Calibration:
        """How similarities of this CLIP model become probabilities."""
        return Calibration(self.logit_scale, self.labels, self.calibrated)

    def space(self, channel: Channel) -> EmbeddingSpace:
        """The embedding space of this model's vectors in a channel."""
        return EmbeddingSpace(channel, self.model, self.weights, self.revision, self.dimensions)

    def message(self) -> dict[str, Any]:
        """This value as it travels from the child."""
        return asdict(self)


def identity(path: Path) -> str:
    """Name and content of a local checkpoint: changed weights under one name are another space.

    path is a weights file, or a directory whose weights, configuration and vocabulary count, but
    not what changes no vector.
    """
    if path.is_file():
        files = [path]
    else:
        found = (file for file in path.rglob("*") if file.suffix in MODEL_FILES)
        files = sorted(file for file in found if file.name not in (CALIBRATION, GOLDEN))
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            content.update(hashlib.file_digest(opened, "sha256").digest())
    return f"{path.name}@sha256:{content.hexdigest()[:16]}"

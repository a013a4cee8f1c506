"""What a loaded model says of itself, and how weights are named so that spaces never mix."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenebook.model import Channel, EmbeddingSpace

# What decides a local model's vectors: weights, architecture, vocabulary, preprocessing.
MODEL_FILES = (".safetensors", ".bin", ".pt", ".pth", ".json", ".txt", ".model")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in the inference child: the fields of its embedding space and how it runs.

    input_s is the measured time of one input after a warm-up, in seconds.
    """

    model: str
    weights: str
    revision: str
    dimensions: int
    device: str = "cpu"
    input_s: float = 0.0

    def space(self, channel: Channel) -> EmbeddingSpace:
        """The embedding space of this model's vectors in a channel."""
        return EmbeddingSpace(channel, self.model, self.weights, self.revision, self.dimensions)

    def message(self) -> dict[str, Any]:
        """This value as it travels from the child."""
        return asdict(self)


def identity(path: Path) -> str:
    """Name and content of a local checkpoint: changed weights under one name are another space.

    path is a weights file, or a directory whose weights, configuration and vocabulary count.
    """
    if path.is_file():
        files = [path]
    else:
        files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES)
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            content.update(hashlib.file_digest(opened, "sha256").digest())
    return f"{path.name}@sha256:{content.hexdigest()[:16]}"

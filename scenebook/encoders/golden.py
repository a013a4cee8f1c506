"""Golden vectors: what a checkpoint gave when it was made, to be given again everywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenebook.encoders.client import Encoders
from scenebook.encoders.spaces import GOLDEN

# Least cosine to a golden vector: rounding and other processors stay well above.
LEAST_COSINE = 0.999
# Decimals kept of a stored vector; its cosine to the exact one is above 0.99999.
DECIMALS = 5

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Golden:
    """Encoded pictures and texts with the vectors that a checkpoint gives them, (n, d) each."""

    pictures: Sequence[bytes]
    texts: Sequence[str]
    picture_vectors: Sequence[Vector]
    text_vectors: Sequence[Vector]


def write(directory: Path, golden: Golden) -> None:
    """Store golden vectors beside the checkpoint's weights."""
    document = {
        "pictures": [
            {"file": base64.b64encode(picture).decode(), "vector": _rounded(vector)}
            for picture, vector in zip(golden.pictures, golden.picture_vectors, strict=True)
        ],
        "texts": [
            {"text": text, "vector": _rounded(vector)}
            for text, vector in zip(golden.texts, golden.text_vectors, strict=True)
        ],
    }
    (directory / GOLDEN).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(directory: Path) -> Golden | None:
    """The golden vectors of a checkpoint; None if it has none."""
    path = directory / GOLDEN
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    pictures, texts = document["pictures"], document["texts"]
    return Golden(
        pictures=[base64.b64decode(one["file"]) for one in pictures],
        texts=[one["text"] for one in texts],
        picture_vectors=[np.array(one["vector"], dtype=np.float32) for one in pictures],
        text_vectors=[np.array(one["vector"], dtype=np.float32) for one in texts],
    )


def least_cosine(golden: Golden, encoders: Encoders) -> float:
    """The least cosine between a golden vector and what the encoders give now; -1 for no vector."""
    answers = encoders.encode_images(list(golden.pictures))
    texts = encoders.encode_query_image_text(list(golden.texts))
    cosines = [
        -1.0 if answer.vector is None else _cosine(answer.vector, vector)
        for answer, vector in zip(answers, golden.picture_vectors, strict=True)
    ]
    cosines += [
        _cosine(text, vector) for text, vector in zip(texts, golden.text_vectors, strict=True)
    ]
    return min(cosines)


def _cosine(one: Vector, other: Vector) -> float:
    if one.shape != other.shape:
        return -1.0
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _rounded(vector: Vector) -> list[float]:
    return [round(float(value), DECIMALS) for value in vector]

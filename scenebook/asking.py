"""From a query to a vector in each space, and the least similarity that counts there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from scenebook.db.hybrid import Asked
from scenebook.db.spaces import StoredSpace
from scenebook.errors import InvalidQuery
from scenebook.model import Channel
from scenebook.queries import Query

Vector = NDArray[np.float32]

# Least similarity of a text query by channel. CLIP's text-to-image cosines lie around 0.2 to 0.35
# (DESIGN section 8); a space whose calibration has `thresholds` says better.
THRESHOLDS: Mapping[Channel, float] = {
    Channel.VISUAL_CLIP: 0.2,
    Channel.TRANSCRIPT: 0.25,
    Channel.VISUAL: 0.25,
    Channel.SUMMARY: 0.25,
}
# CLIP's image-to-image cosines of like pictures lie around 0.7 to 1 (DESIGN section 8).
IMAGE_THRESHOLD = 0.7
# A text and a picture whose weighted sum is shorter say opposite things.
SHORTEST_SUM = 1e-3


class QueryEncoder(Protocol):
    """Turns queries into vectors of norm 1 of a given space, with the model of that space.

    Raises InvalidQuery for a picture that cannot be used, another ScenebookError if the model
    cannot answer.
    """

    def encode_text(self, stored: StoredSpace, text: str) -> Vector:
        """The vector of a text in a space of any channel."""

    def encode_image(self, stored: StoredSpace, image: bytes) -> Vector:
        """The vector of an encoded picture in a space of visual_clip."""


class Thresholds(NamedTuple):
    """The least similarity that counts in a space, by the kind of query; -1 to 1."""

    text: float
    image: float


def thresholds_of(stored: StoredSpace) -> Thresholds:
    """What counts as a match in a space: as it was measured there, else what is usual."""
    measured = stored.calibration.get("thresholds", {})
    return Thresholds(
        text=measured.get("text", THRESHOLDS[stored.space.channel]),
        image=measured.get("image", IMAGE_THRESHOLD),
    )


def encoded(
    encoder: QueryEncoder,
    stored: StoredSpace,
    query: Query,
    *,
    of_scene: Vector | None = None,
    threshold: float | None = None,
) -> Asked:
    """The query's vector of norm 1 in a space, and the threshold that suits it if none is given.

    of_scene: the vector in this space of the scene that the query is made of.
    """
    thresholds = thresholds_of(stored)

    def part(vector: Vector, suitable: float) -> Asked:
        return Asked(vector, stored.id, suitable if threshold is None else threshold)

    if not query.pictured or stored.space.channel is not Channel.VISUAL_CLIP:
        assert query.text is not None
        return part(encoder.encode_text(stored, query.text), thresholds.text)
    if query.image is not None:
        image = encoder.encode_image(stored, query.image)
    elif of_scene is not None:
        image = of_scene
    else:
        raise InvalidQuery("The scene has no vector in visual_clip, so nothing compares with it.")
    if query.text is None:
        return part(image, thresholds.image)
    text = encoder.encode_text(stored, query.text)
    share = query.text_weight / (query.text_weight + query.image_weight)
    mixed = share * text + (1 - share) * image
    norm = float(np.linalg.norm(mixed))
    if norm < SHORTEST_SUM:
        raise InvalidQuery(
            "The text and the picture cancel each other out. Weigh one of them more."
        )
    # A scene exactly at both thresholds is at this one: a cosine with a sum is a sum of cosines.
    suitable = (share * thresholds.text + (1 - share) * thresholds.image) / norm
    return part((mixed / norm).astype(np.float32), min(suitable, max(thresholds)))

"""Finds the instants where one scene ends and the next begins, from small pictures of the frames.

A detector has one method, `process`, so another one (a neural one, say) can take this place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

THUMB_WIDTH = 64
THUMB_HEIGHT = 36
# Luma on top, the two half-size chroma planes side by side below it.
THUMB_SHAPE = (THUMB_HEIGHT + THUMB_HEIGHT // 2, THUMB_WIDTH)

Thumb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """One frame as a detector sees it.

    thumb is an 8-bit YUV picture of THUMB_SHAPE; change its difference to the frame before.
    """

    at_ms: int
    thumb: Thumb
    change: float


class CutKind(StrEnum):
    """How one scene turns into the next."""

    HARD = "hard"
    GRADUAL = "gradual"


@dataclass(frozen=True, slots=True)
class Cut:
    """A boundary: the next scene starts at at_ms; [start_ms, end_ms] is the whole transition."""

    at_ms: int
    start_ms: int
    end_ms: int
    kind: CutKind


class CutDetector(Protocol):
    """Turns frames in order of time into cuts, which it may report some seconds late."""

    def process(self, frame: FrameFeatures | None) -> list[Cut]:
        """Cuts that became certain with this frame; None says that the video has ended."""


def difference(one: Thumb, other: Thumb) -> float:
    """Mean absolute difference over luma and chroma, 0 to 255."""
    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def contrast(thumb: Thumb) -> float:
    """Standard deviation of the luma: near 0 for a black, white or one-coloured picture."""
    return float(cv2.meanStdDev(thumb[:THUMB_HEIGHT])[1][0, 0])


def correlation(one: Thumb, other: Thumb) -> float:
    """Correlation of the luma, -1 to 1: near 1 when only brightness or contrast differ."""
    a, b = one[:THUMB_HEIGHT], other[:THUMB_HEIGHT]
    (mean_a, dev_a), (mean_b, dev_b) = cv2.meanStdDev(a), cv2.meanStdDev(b)
    product = np.dot(a.ravel().astype(np.float32), b.ravel().astype(np.float32)) / a.size
    return float((product - mean_a[0, 0] * mean_b[0, 0]) / (dev_a[0, 0] * dev_b[0, 0] + 1.0))


def is_flat(one: Thumb, other: Thumb, share: float = 0.35) -> bool:
    """True if one of the two has lost most of the other's contrast: black, white, one colour."""
    contrasts = contrast(one), contrast(other)
    return min(contrasts) < share * max(contrasts)


def is_relit(one: Thumb, other: Thumb, alike: float) -> bool:
    """True if a light was switched or the exposure changed in an otherwise unchanged picture.

    The layout of the luma stays (a correlation above `alike`), and colours change less than light.
    """
    if is_flat(one, other) or correlation(one, other) <= alike:
        return False
    luma = difference(one[:THUMB_HEIGHT], other[:THUMB_HEIGHT])
    return difference(one[THUMB_HEIGHT:], other[THUMB_HEIGHT:]) < luma

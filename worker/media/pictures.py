"""Small views of decoded frames for the detector and for judging quality."""

from __future__ import annotations

from functools import cache
from typing import cast

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from worker.media.cuts import THUMB_HEIGHT, THUMB_SHAPE, THUMB_WIDTH, Thumb

Picture = NDArray[np.uint8]
DIRECT = ("yuv4", "yuvj4", "yuva4", "gray")


def plane_view(plane: VideoPlane, bits: int) -> Picture:
    """The plane's samples (rows, columns) without copying, 8 or 16 bits each.

    Valid while its frame lives; 16-bit samples are typed as 8-bit for the callers' sake.
    """
    samples = np.frombuffer(cast(bytes, plane), np.uint8 if bits <= 8 else np.uint16)
    columns = plane.line_size // samples.itemsize
    rows = samples[: plane.height * columns].reshape(plane.height, columns)
    return cast(Picture, rows[:, : plane.width])


@cache
def _shift(name: str, bits: int) -> int | None:
    """How far samples are shifted to be 8-bit; None if the planes cannot be read directly."""
    direct = name.startswith(DIRECT) and bits <= 16 and not name.endswith("be")
    return bits - 8 if direct else None


def thumb_of(frame: av.VideoFrame) -> Thumb:
    """An 8-bit YUV thumb of THUMB_SHAPE, from a few samples of each plane and without swscale.

    The luma of a pixel is the mean of sixteen samples, its chroma of four, at any resolution.
    """
    layout = frame.format
    bits = layout.components[0].bits
    shift = _shift(layout.name, bits)
    if shift is None:
        frame = frame.reformat(
            2 * THUMB_WIDTH, 2 * THUMB_HEIGHT, "yuv420p", interpolation="AREA", threads=1
        )
        bits, shift = 8, 0
    planes = frame.planes
    thumb = np.empty(THUMB_SHAPE, np.uint8 if bits <= 8 else np.uint16)
    # OpenCV writes straight into the parts of the thumb.
    luma = cv2.resize(plane_view(planes[0], bits), (2 * THUMB_WIDTH, 2 * THUMB_HEIGHT))
    cv2.resize(
        luma, (THUMB_WIDTH, THUMB_HEIGHT), thumb[:THUMB_HEIGHT], interpolation=cv2.INTER_AREA
    )
    if len(planes) < 3:
        thumb[THUMB_HEIGHT:] = 128 << shift
    else:
        half = THUMB_WIDTH // 2
        for plane, part in (
            (planes[1], thumb[THUMB_HEIGHT:, :half]),
            (planes[2], thumb[THUMB_HEIGHT:, half:]),
        ):
            cv2.resize(plane_view(plane, bits), (half, THUMB_HEIGHT // 2), part)
    return thumb if bits <= 8 else (thumb >> shift).astype(np.uint8)


def luma_of(frame: av.VideoFrame, long_side: int) -> Picture:
    """The 8-bit luma with this long side, averaged over areas so that size does not matter."""
    if _shift(frame.format.name, frame.format.components[0].bits) != 0:
        frame = frame.reformat(format="gray", threads=1)
    plane = plane_view(frame.planes[0], 8)
    scale = long_side / max(plane.shape)
    size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
    if scale >= 1:
        return _resized(plane, size)
    # A whole factor of two is what area averaging is fast at.
    return _resized(_resized(plane, (2 * size[0], 2 * size[1])), size, cv2.INTER_AREA)


def _resized(picture: Picture, size: tuple[int, int], how: int = cv2.INTER_LINEAR) -> Picture:
    return cast(Picture, cv2.resize(picture, size, interpolation=how))

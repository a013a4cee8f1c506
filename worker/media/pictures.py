"""Turns decoded frames into small, upright, true-coloured pictures."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from worker.media.cuts import THUMB_HEIGHT, THUMB_SHAPE, THUMB_WIDTH, Thumb

LONG_SIDE = 640
JPEG_QUALITY = 85
# AVCOL_TRC_* and AVCOL_SPC_* of FFmpeg (libavutil/pixfmt.h).
TRC_PQ, TRC_HLG = 16, 18
SPC_UNSPECIFIED = 2
# Frames up to this many bytes are kept as they are; larger ones are reduced first.
SMALL_FRAME_BYTES = 800_000
PLANAR_YUV = ("yuv4", "yuvj4", "yuva4", "nv12", "gray")


@dataclass(frozen=True, slots=True)
class Upright:
    """How the stored picture becomes upright: transpose first, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @property
    def rotation(self) -> int:
        """Degrees clockwise, leaving a mirror image aside."""
        if self.transpose:
            return 270 if self.flip_rows else 90
        return 180 if self.flip_rows and self.flip_columns else 0

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (rows, columns, ...) turned upright."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.flip_rows:
            picture = picture[::-1]
        if self.flip_columns:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)


def upright_of(frame: av.VideoFrame) -> Upright:
    """Reads the display matrix: nine 32-bit numbers, row by row, of which (a b; c d) matter.

    A stored point (p, q) is shown at (a p + c q, b p + d q).
    """
    for side in frame.side_data:
        if side.type == SideData.DISPLAYMATRIX and side.buffer_size >= 36:
            a, b, _, c, d = struct.unpack_from("=5i", bytes(side))
            if abs(b) + abs(c) > abs(a) + abs(d):
                return Upright(True, flip_rows=b < 0, flip_columns=c < 0)
            return Upright(False, flip_rows=d < 0, flip_columns=a < 0)
    return Upright()


def shown_size(
    width: int, height: int, aspect: Fraction | None, upright: Upright
) -> tuple[int, int]:
    """Size of the upright picture with square pixels; absurd pixel aspects are ignored."""
    if aspect is not None and Fraction(1, 4) <= aspect <= 4:
        width = max(1, round(width * aspect))
    return (height, width) if upright.transpose else (width, height)


def plane_view(plane: VideoPlane, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The plane's samples without copying; valid while its frame lives."""
    kind = np.uint8 if bits <= 8 else np.uint16
    samples = np.frombuffer(plane, kind)  # type: ignore[call-overload]
    rows = samples[: plane.height * plane.line_size // samples.itemsize]
    view: NDArray[np.uint8] = rows.reshape(plane.height, -1)[:, : plane.width]
    return view


@cache
def _layout(name: str, bits: int) -> tuple[int, int] | None:
    """(planes that can be read directly, right shift to 8 bits), or None."""
    planar = name.startswith(("yuv4", "yuvj4", "yuva4", "gray"))
    if not planar or bits > 16 or name.endswith("be"):
        return None
    return (1 if name.startswith("gray") else 3, bits - 8)


def thumb_of(frame: av.VideoFrame) -> Thumb:
    """An 8-bit YUV thumb of THUMB_SHAPE, from a few samples of each plane and without swscale.

    Two bilinear taps each way and then a 2 × 2 mean: sixteen samples a pixel, at any resolution.
    """
    bits = frame.format.components[0].bits
    layout = _layout(frame.format.name, bits)
    if layout is None:
        frame = frame.reformat(
            width=2 * THUMB_WIDTH, height=2 * THUMB_HEIGHT, format="yuv420p", interpolation="AREA"
        )
        layout, bits = (3, 0), 8
    planes, shift = layout
    thumb = np.full(THUMB_SHAPE, 128, np.uint8)
    half = THUMB_WIDTH // 2
    thumb[:THUMB_HEIGHT] = _shrunk(plane_view(frame.planes[0], bits), 1, shift)
    if planes == 3:
        thumb[THUMB_HEIGHT:, :half] = _shrunk(plane_view(frame.planes[1], bits), 2, shift)
        thumb[THUMB_HEIGHT:, half:] = _shrunk(plane_view(frame.planes[2], bits), 2, shift)
    return thumb


def _shrunk(
    plane: NDArray[np.uint8] | NDArray[np.uint16], divisor: int, shift: int
) -> NDArray[np.uint8]:
    width, height = THUMB_WIDTH // divisor, THUMB_HEIGHT // divisor
    twice = cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(twice, (width, height), interpolation=cv2.INTER_AREA)
    return (small >> shift).astype(np.uint8) if shift else small  # type: ignore[return-value]


def luma_of(frame: av.VideoFrame, long_side: int) -> NDArray[np.uint8]:
    """The 8-bit luma with this long side, averaged over areas so that size does not matter."""
    bits = frame.format.components[0].bits
    layout = _layout(frame.format.name, bits)
    if layout is None:
        frame = frame.reformat(format="gray")
        layout, bits = (1, 0), 8
    plane = plane_view(frame.planes[0], bits)
    scale = long_side / max(plane.shape)
    size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if layout[1]:
        small = (small >> layout[1]).astype(np.uint8)
    return small.astype(np.uint8, copy=False)


def reduced(frame: av.VideoFrame, aspect: Fraction | None) -> av.VideoFrame:
    """The frame itself if it is small, else an RGB frame of at most LONG_SIDE with square pixels."""
    size_bytes = sum(plane.buffer_size for plane in frame.planes)
    return frame if size_bytes <= SMALL_FRAME_BYTES else to_rgb(frame, aspect)


def to_rgb(frame: av.VideoFrame, aspect: Fraction | None) -> av.VideoFrame:
    """An RGB frame of at most LONG_SIDE with square pixels, not turned yet."""
    if frame.format.name == "rgb24":
        return frame
    width, height = shown_size(frame.width, frame.height, aspect, Upright())
    scale = min(1.0, LONG_SIDE / max(width, height))
    colorspace = int(frame.colorspace)
    if colorspace == SPC_UNSPECIFIED:
        # What every player assumes of a file that does not say.
        colorspace = int(Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601)
    return frame.reformat(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        format="rgb24",
        src_colorspace=colorspace,
        interpolation=Interpolation.AREA if scale < 1 else Interpolation.BICUBIC,
    )


def write_jpeg(
    frame: av.VideoFrame, path: Path, *, aspect: Fraction | None, upright: Upright
) -> tuple[int, int]:
    """Write the upright picture and return its width and height."""
    transfer = int(frame.color_trc)
    picture = upright.apply(to_rgb(frame, aspect).to_ndarray())
    if transfer in (TRC_PQ, TRC_HLG):
        picture = _to_standard_range(picture, transfer)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise OSError(f"cannot encode {path.name}")
    path.write_bytes(data.tobytes())
    return picture.shape[1], picture.shape[0]


@cache
def _linear(transfer: int) -> NDArray[np.float32]:
    """Light for each 8-bit code, 1.0 being diffuse white (ITU-R BT.2100 tables 4 and 5)."""
    code = np.arange(256, dtype=np.float32) / 255
    if transfer == TRC_PQ:
        power = code ** (1 / 78.84375)
        nits = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
        light = nits * 10000 / 203
    else:
        light = np.where(
            code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
        light = light**1.2 * 1000 / 203
    return light.astype(np.float32)


# BT.2020 to BT.709 primaries in linear light (ITU-R BT.2087).
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)


def _to_standard_range(picture: NDArray[np.uint8], transfer: int) -> NDArray[np.uint8]:
    """High dynamic range to an ordinary picture: Reinhard's curve on the linear light."""
    light = np.maximum(_linear(transfer)[picture] @ TO_709.T, 0)
    peak = 1000 / 203
    mapped = light * (1 + light / peak**2) / (1 + light)
    return (255 * np.clip(mapped, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)

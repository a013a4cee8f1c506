"""Stored pictures: small, upright, with square pixels and true colours."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from scenebook.local_disk import writing
from worker.media.likeness import perceptual_hash
from worker.media.pictures import Picture

LONG_SIDE = 640
JPEG_QUALITY = 85
# AVCOL_TRC_* and AVCOL_SPC_* of FFmpeg (libavutil/pixfmt.h).
TRC_PQ, TRC_HLG = 16, 18
SPC_UNSPECIFIED = 2
# Frames up to this many bytes wait as they are; larger ones are reduced first.
SMALL_FRAME_BYTES = 800_000
MATRIX_BYTES = 36


@dataclass(frozen=True, slots=True)
class Written:
    """Size in pixels and perceptual hash of a picture that was written."""

    width: int
    height: int
    perceptual_hash: str


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

    def apply(self, picture: Picture) -> Picture:
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
    by_type: Any = frame.side_data
    matrix = by_type.get(SideData.DISPLAYMATRIX)
    if matrix is not None and matrix.buffer_size >= MATRIX_BYTES:
        a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
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


class Stills:
    """Makes the small pictures that wait for their scene to end, and their JPEGs.

    One for a video: the size and the colours are those of its first frame.
    """

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None) -> None:
        self.upright = upright_of(first)
        width, height = shown_size(first.width, first.height, aspect, Upright())
        scale = min(1.0, LONG_SIDE / max(width, height))
        self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._colorspace = int(first.colorspace)
        if self._colorspace == SPC_UNSPECIFIED:
            # What every player assumes of a file that does not say.
            self._colorspace = int(Colorspace.ITU709 if first.height >= 720 else Colorspace.ITU601)
        self._transfer = int(first.color_trc)
        self._scaler = VideoReformatter()  # keeps its tables from frame to frame

    def reduced(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame itself if it is small, else an 8-bit 4:2:0 copy of the stored size."""
        if sum(plane.buffer_size for plane in frame.planes) <= SMALL_FRAME_BYTES:
            return frame
        return self._scaled(frame, "yuv420p")

    def write_jpeg(self, frame: av.VideoFrame, path: Path) -> Written:
        """Write the upright picture and tell what it is like. Raises OutOfReach."""
        picture = np.asarray(self._scaled(frame, "bgr24").to_ndarray(), np.uint8)
        picture = self.upright.apply(picture)
        if self._transfer in (TRC_PQ, TRC_HLG):
            picture = _to_standard_range(picture, self._transfer)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise OSError(f"cannot encode {path.name}")
        with writing(path):
            path.write_bytes(data.tobytes())
        return Written(picture.shape[1], picture.shape[0], perceptual_hash(picture))

    def _scaled(self, frame: av.VideoFrame, pixels: str) -> av.VideoFrame:
        same = self._size == (frame.width, frame.height)
        return self._scaler.reformat(
            frame,
            width=self._size[0],
            height=self._size[1],
            format=pixels,
            src_colorspace=self._colorspace,
            dst_colorspace=self._colorspace,
            interpolation=Interpolation.BILINEAR if same else Interpolation.AREA,
            threads=1,
        )


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


def _to_standard_range(picture: Picture, transfer: int) -> Picture:
    """A high dynamic range picture (blue, green, red) as an ordinary one, by Reinhard's curve."""
    light = np.maximum(_linear(transfer)[picture] @ TO_709.T[::-1, ::-1], 0)
    peak = 1000 / 203
    mapped = light * (1 + light / peak**2) / (1 + light)
    ordinary: Picture = (255 * np.clip(mapped, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)
    return ordinary

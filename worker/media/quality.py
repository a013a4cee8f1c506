"""How well one frame stands for its scene: sharp, well exposed, clean."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# Every frame is judged at this long side, so a large picture is not sharper than a small one.
QUALITY_SIDE = 256
# The filters are kept this many times too strong, so that 16-bit integers hold their results; they
# need half the memory of floats, and pages that are fresh for each picture cost more than sums.
GAIN = 16
# [1 2 1] / 4 both ways.
SMOOTH = np.array([1, 2, 1], np.float32)
# J. Immerkaer, "Fast noise variance estimation", 1996: blind to edges, so what is left is noise.
# It is the product of a row (1, -2, 1) and the same column.
IMMERKAER = np.array([4, -8, 4], np.float32)
IMMERKAER_GAIN = 6.0
NOISE_BLOCKS = 16
# Variance of the smoothed Laplacian of white noise with variance 1: the sum of the squares of
# the two kernels' convolution.
NOISE_GAIN = 0.40625
SHARP_HALF = 40.0
CONTRAST_HALF = 18.0
NOISE_HALF = 12.0


def judge(luma: NDArray[np.uint8]) -> dict[str, float]:
    """Components and "quality_score", each 0 to 1, of an 8-bit luma of any size.

    sharpness is measured after noise is taken off; exposure falls for black, white and clipped
    pictures; contrast for flat ones; noise is 1 for a clean picture.
    """
    noise = _noise(luma)
    energy = _energy(luma) if min(luma.shape) > 4 else 0.0
    energy = max(0.0, energy - 1.5 * NOISE_GAIN * noise**2)
    sharpness = energy / (energy + SHARP_HALF)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(luma))
    contrast = deviation**2 / (deviation**2 + CONTRAST_HALF**2)
    exposure = _exposure(luma, mean)
    cleanness = 1 / (1 + (noise / NOISE_HALF) ** 2)
    score = exposure * math.sqrt(contrast) * (0.15 + 0.85 * sharpness) * (0.4 + 0.6 * cleanness)
    return {
        "sharpness": round(sharpness, 4),
        "exposure": round(exposure, 4),
        "contrast": round(contrast, 4),
        "noise": round(cleanness, 4),
        "quality_score": round(min(1.0, score), 4),
    }


def _energy(luma: NDArray[np.uint8]) -> float:
    """Variance of the smoothed 4-neighbour Laplacian, away from the edges of the picture."""
    s = cv2.sepFilter2D(luma, cv2.CV_16S, SMOOTH, SMOOTH)[1:-1, 1:-1]
    edges = s[:-2, 1:-1] + s[2:, 1:-1] + s[1:-1, :-2] + s[1:-1, 2:] - 4 * s[1:-1, 1:-1]
    # The mean of a Laplacian is next to 0, so its mean square is its variance.
    return cv2.norm(edges, cv2.NORM_L2SQR) / edges.size / GAIN**2


def _noise(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, in levels, from the calmest quarter of the picture."""
    height, width = luma.shape
    if min(height, width) < NOISE_BLOCKS + 2:
        return 0.0
    # Whole blocks only: area averaging is slow at any other factor.
    rows, columns = (height - 2) // NOISE_BLOCKS, (width - 2) // NOISE_BLOCKS
    response = cv2.sepFilter2D(luma, cv2.CV_16S, IMMERKAER, IMMERKAER)
    inside = response[1 : 1 + NOISE_BLOCKS * rows, 1 : 1 + NOISE_BLOCKS * columns]
    blocks = cv2.resize(np.abs(inside), (NOISE_BLOCKS, NOISE_BLOCKS), interpolation=cv2.INTER_AREA)
    quarter = blocks.size // 4
    calm = float(np.partition(blocks.ravel(), quarter)[:quarter].mean())
    return math.sqrt(math.pi / 2) / (IMMERKAER_GAIN * GAIN) * calm


def _exposure(luma: NDArray[np.uint8], mean: float) -> float:
    """1 for a middle brightness, 0 for black or white, less where much of it is clipped."""
    middle = min(1.0, max(0.0, mean - 16) / 50, max(0.0, 245 - mean) / 50)
    dark, bright = np.count_nonzero(luma < 16), np.count_nonzero(luma >= 240)
    clipped = max(0.0, dark / luma.size - 0.5) + max(0.0, bright / luma.size - 0.5)
    return middle * (1 - min(1.0, 1.6 * clipped))

"""How well one frame stands for its scene: sharp, well exposed, clean."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# Every frame is judged at this long side, so a large picture is not sharper than a small one.
QUALITY_SIDE = 256
# A smoothed Laplacian: [1 2 1] / 4 both ways, then the 4-neighbour Laplacian.
SMOOTH = np.array([1, 2, 1], np.float32) / 4
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
# J. Immerkaer, "Fast noise variance estimation", 1996: blind to edges, so what is left is noise.
IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
IMMERKAER_GAIN = 6.0
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
    smooth = cv2.sepFilter2D(luma, cv2.CV_32F, SMOOTH, SMOOTH)
    edges = cv2.filter2D(smooth, cv2.CV_32F, LAPLACE)[2:-2, 2:-2]
    noise = _noise(luma)
    energy = float(cv2.meanStdDev(edges)[1][0, 0]) ** 2 if edges.size else 0.0
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


def _noise(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, in levels, from the calmest quarter of the picture."""
    height, width = luma.shape
    if min(height, width) < 16:
        return 0.0
    response = np.abs(cv2.filter2D(luma, cv2.CV_32F, IMMERKAER)[1:-1, 1:-1])
    blocks = cv2.resize(response, (16, 16), interpolation=cv2.INTER_AREA)
    calm = float(np.partition(blocks.ravel(), 64)[:64].mean())
    return math.sqrt(math.pi / 2) / IMMERKAER_GAIN * calm


def _exposure(luma: NDArray[np.uint8], mean: float) -> float:
    """1 for a middle brightness, 0 for black or white, less where much of it is clipped."""
    counts = cv2.calcHist([luma], [0], None, [16], [0, 256]).ravel() / luma.size
    middle = min(1.0, max(0.0, mean - 16) / 50, max(0.0, 245 - mean) / 50)
    clipped = max(0.0, float(counts[0]) - 0.5) + max(0.0, float(counts[15]) - 0.5)
    return middle * (1 - min(1.0, 1.6 * clipped))

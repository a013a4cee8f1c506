"""Perceptual hashes: nearly the same text for pictures that look the same."""

from __future__ import annotations

import cv2
import numpy as np

from worker.media.pictures import Picture

COLUMNS, ROWS = 9, 8
COLOUR_CELLS = 4


def perceptual_hash(picture: Picture) -> str:
    """The difference hash and the colours of an 8-bit picture (rows, columns, 3), as hex digits.

    16 digits: for each of 8 x 8 places, whether the grey picture of 9 x 8 gets brighter to the
    right (N. Krawetz, "Kind of Like That", 2013). 96 digits: the mean colours of 4 x 4 parts in
    the order of the picture's channels, since pictures of one layout, and all flat ones, have the
    same differences whatever their colours are.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    brighter = np.packbits(small[:, 1:] > small[:, :-1])
    colours = cv2.resize(picture, (COLOUR_CELLS, COLOUR_CELLS), interpolation=cv2.INTER_AREA)
    return brighter.tobytes().hex() + colours.tobytes().hex()

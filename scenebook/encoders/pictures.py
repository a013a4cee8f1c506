"""Encoded pictures to PIL images, bounded in pixels, for the models in the inference child."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

# Keyframes are JPEG; the others are what people upload as a query. Few formats, few decoders.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


class UndecodablePicture(ValueError):
    """The bytes are no picture that can be used; the message says why."""


def decode(data: bytes, *, max_pixels: int) -> Image.Image:
    """An upright RGB picture from JPEG, PNG, WebP, GIF or BMP bytes.

    Raises UndecodablePicture if the bytes are damaged, of another format, or of more than
    max_pixels pixels (checked before anything is decoded).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        if width * height > max_pixels:
            raise UndecodablePicture(
                f"The picture has {width}x{height} pixels; the limit is {max_pixels} in all."
            )
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    except UndecodablePicture:
        raise
    except UnidentifiedImageError:
        raise UndecodablePicture("The picture is no JPEG, PNG, WebP, GIF or BMP.") from None
    # PIL's decoders raise all of these for damaged files, SyntaxError included.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UndecodablePicture(f"The picture cannot be decoded: {error}") from None
    upright.info = picture.info
    return upright


def reduce_short_side(picture: Image.Image, short_side: int) -> Image.Image:
    """The picture with its SHORT side at most short_side pixels; never enlarged."""
    shortest = min(picture.size)
    if shortest <= short_side:
        return picture
    width, height = (max(1, round(side * short_side / shortest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)

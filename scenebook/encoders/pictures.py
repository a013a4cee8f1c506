"""Encoded pictures to PIL images, bounded in pixels, for the models in the inference child."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

# Keyframes are JPEG; the others are what people upload as a query. Few formats, few decoders.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ACCEPTED = "JPEG, PNG, WebP, GIF or BMP"
# A model enlarges the short side of a strip to its input: the long side must not become gigabytes.
MAX_ASPECT_RATIO = 100
# What shows through transparent pixels; the colours hidden in them are nobody's intention.
BACKDROP = (255, 255, 255)
ORIENTATION = 0x0112
# How a picture with this EXIF orientation is brought upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UndecodablePicture(ValueError):
    """The bytes are no picture that can be used; the message says why."""


def decode(data: bytes, *, max_pixels: int) -> Image.Image:
    """An upright RGB picture, 8 bits a colour, from JPEG, PNG, WebP, GIF or BMP bytes.

    Of an animation the first frame counts. Transparent pixels show white. Colour profiles are not
    applied, as they were not to the pictures that CLIP models learnt from.
    Raises UndecodablePicture if the bytes are damaged, of another format, of more than max_pixels
    pixels, or more than 100 times as long as wide (both checked before anything is decoded).
    """
    if not data:
        raise UndecodablePicture("The picture is empty: a file of 0 bytes.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's of damaged metadata and of many pixels
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            _require_usable(picture.size, max_pixels)
            upright = _upright(picture)
    except (UndecodablePicture, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UndecodablePicture(f"The picture is no {ACCEPTED}.") from None
    except Image.DecompressionBombError:  # PIL has a limit of its own and does not tell the size
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise UndecodablePicture(
            f"The picture has too many pixels; the limit is {limit} in all."
        ) from None
    except Exception as error:  # the door to PIL's decoders, which raise anything for damaged files
        reason = str(error).rstrip(".") or type(error).__name__
        raise UndecodablePicture(f"The picture cannot be decoded: {reason}.") from error
    upright.info = picture.info
    return upright


def reduce_short_side(picture: Image.Image, short_side: int) -> Image.Image:
    """The picture with its SHORT side at most short_side pixels; never enlarged."""
    shortest = min(picture.size)
    if shortest <= short_side:
        return picture
    width, height = (max(1, round(side * short_side / shortest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _require_usable(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UndecodablePicture(
            f"The picture has {width}x{height} pixels; the limit is {max_pixels} in all."
        )
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise UndecodablePicture(
            f"The picture is a strip of {width}x{height} pixels; one side may be at most "
            f"{MAX_ASPECT_RATIO} times the other."
        )


def _upright(picture: Image.Image) -> Image.Image:
    orientation = _orientation(picture)
    rgb = _rgb(picture)
    return rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation; 1, upright, where there is none that can be read."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - the door to PIL's EXIF reader; the picture itself may be fine
        return 1


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture)
    elif picture.mode == "CMYK" and "adobe" not in picture.info:
        # PIL takes every CMYK JPEG for one of Adobe's, whose inks are stored inverted.
        picture = ImageChops.invert(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    transparent = picture.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:
        # PIL keeps the high byte of 16 bits a colour, but the transparent colour as it is.
        picture.info["transparency"] = tuple(level >> 8 for level in transparent)
    inked = picture.convert("RGBA")
    canvas = Image.new("RGB", inked.size, BACKDROP)
    canvas.paste(inked, mask=inked.getchannel("A"))
    return canvas


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A 16-bit grey picture with its greys kept; PIL itself makes everything above 255 white."""
    levels = np.asarray(picture)
    grey = Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey

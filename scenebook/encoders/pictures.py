"""Encoded pictures to PIL images, bounded in pixels, for the models in the inference child."""

from __future__ import annotations

import io
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

# Keyframes are JPEG; the others are what people upload as a query. Few formats, few decoders.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ACCEPTED = "JPEG, PNG, WebP, GIF or BMP"
# A model enlarges the short side of a strip to its input: the long side must not become gigabytes.
MAX_ASPECT_RATIO = 100
# A progressive JPEG goes over all its pixels in every scan, and an empty scan is a few bytes. Ten
# are usual; this is how many a picture of the most pixels may have, and smaller ones more.
MAX_SCANS = 15
# Pillow reads these runs in Python, one after another.
MAX_RUN_LENGTH_BYTES = 1_000_000
# What shows through transparent pixels; the colours hidden in them are nobody's intention.
BACKDROP = (255, 255, 255)
ORIENTATION = 0x0112
# How often a decoder that has worked for long enough is told so.
SIGNAL_EVERY_S = 0.05
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd8\x01])", re.DOTALL)
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


class _TooSlow(BaseException):
    """Decoding used up its processor time; no `except Exception` on the way may keep it."""


def decode(data: bytes, *, max_pixels: int, cpu_s: float | None = None) -> Image.Image:
    """An upright RGB picture, 8 bits a colour, from JPEG, PNG, WebP, GIF or BMP bytes.

    Of an animation the first frame counts. Transparent pixels show white. Colour profiles are not
    applied, as they were not to the pictures that CLIP models learnt from.
    Raises UndecodablePicture if the bytes are damaged, of another format, of more than max_pixels
    pixels, or more than 100 times as long as wide (both checked before anything is decoded), or if
    they need more than cpu_s seconds of processor time.
    """
    if not data:
        raise UndecodablePicture("The picture is empty: a file of 0 bytes.")
    try:
        with warnings.catch_warnings(), _processor_time(cpu_s):
            warnings.simplefilter("ignore")  # PIL's of damaged metadata and of many pixels
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            _require_usable(picture.size, max_pixels)
            _require_simple(picture, data, max_pixels)
            upright = _upright(picture)
    except (UndecodablePicture, MemoryError):
        raise
    except _TooSlow:
        raise UndecodablePicture(
            "The picture takes too long to decode. Save it anew as a plain JPEG or PNG."
        ) from None
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


def _require_simple(picture: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse what makes few bytes much work, in code that cannot be interrupted."""
    width, height = picture.size
    if picture.format in ("JPEG", "MPO"):
        scans = _scans(data)
        if scans > 1 and scans * width * height > MAX_SCANS * max_pixels:
            raise UndecodablePicture(f"The picture is a JPEG of {scans} scans. Save it anew.")
    runs = any(tile[0] == "bmp_rle" for tile in getattr(picture, "tile", ()))
    if runs and len(data) > MAX_RUN_LENGTH_BYTES:
        raise UndecodablePicture("The picture is a large compressed BMP. Save it as PNG or JPEG.")


def _scans(data: bytes) -> int:
    """How many scans a JPEG has before its end; a picture within a segment does not count."""
    scans, at = 0, 2
    # Within a scan a marker is neither a stuffed byte nor one of its restarts.
    while (marker := MARKER.search(data, at)) is not None and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return scans


@contextmanager
def _processor_time(cpu_s: float | None) -> Iterator[None]:
    """Raise _TooSlow inside once this process has worked for cpu_s seconds; waiting is free."""
    if cpu_s is None or threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return

    over = False

    def stop(*_: object) -> None:
        if not over:
            raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    # Again and again: a decoder's own `except` may swallow one.
    signal.setitimer(signal.ITIMER_PROF, cpu_s, SIGNAL_EVERY_S)
    try:
        yield
    finally:
        try:
            over = True
        finally:  # also where the signal came at the very end
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


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

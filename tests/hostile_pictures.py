"""Pictures as nobody takes them: bombs, liars, floods and files that are two things at once."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

GOOD, REFUSED = 200, 422


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checked)


def png(width: int, height: int, *more: bytes, row: bytes | None = None) -> bytes:
    """A black-and-white PNG; `more` are chunks before the pixels."""
    packer = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8) if row is None else row
    pixels = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(more)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def an_animation(kind: str, frames: int) -> bytes:
    """So many frames of 8 x 8 pixels."""
    first, *rest = (Image.new("RGB", (8, 8), (n % 256, n // 256, 9)) for n in range(frames))
    return encoded(first, kind, save_all=True, append_images=rest)


def a_long_gif(frames: int) -> bytes:
    """A GIF that shows its only frame so often."""
    plain = encoded(Image.new("P", (8, 8)), "GIF")
    first = plain.index(b"\x2c\0\0\0\0")
    return plain[:first] + plain[first:-1] * frames + plain[-1:]


def a_jpeg_of_comments(count: int) -> bytes:
    """A small JPEG after so many empty comments, which Pillow reads one by one in Python."""
    plain = encoded(Image.new("RGB", (64, 64), "red"), "JPEG")
    return plain[:2] + b"\xff\xfe\0\2" * count + plain[2:]


def a_jpeg_of_scans(count: int, side: int) -> bytes:
    """A progressive JPEG whose last scan is there so often again."""
    whole = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def a_bmp_of_runs(side: int, run: int) -> bytes:
    """A compressed BMP whose runs are so long."""
    rows = (bytes([run, 7]) * (side // run) + b"\0\0") * side
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    return (
        struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + header + bytes(1024) + rows
    )


def a_tiff_of_pages(count: int) -> bytes:
    """A TIFF that goes round in so many directories."""
    pages = b"".join(
        struct.pack("<HHHIII", 1, 256, 3, 1, 1, 8 + 18 * (number + 1)) for number in range(count)
    )
    return b"II*\0" + struct.pack("<I", 8) + pages + struct.pack("<HI", 0, 8)


def with_exif(exif: bytes) -> bytes:
    """A small JPEG with these bytes for its EXIF."""
    return encoded(Image.new("RGB", (64, 64), "red"), "JPEG", exif=b"Exif\0\0" + exif)


def _exif() -> Iterator[tuple[str, bytes]]:
    entry = struct.pack(">HHII", 0x0112, 3, 1, 99 << 16)
    yield "orientation 99", with_exif(b"MM\0*\0\0\0\x08\0\x01" + entry + bytes(4))
    yield "exif to the outside", with_exif(b"MM\0*\xff\xff\xff\xf0" + b"x" * 60_000)
    far = struct.pack(">HHII", 0x0112, 2, 0xFFFFFFF0, 0x7FFFFFF0)
    yield "an entry of 4 GB", with_exif(b"MM\0*\0\0\0\x08\0\x01" + far + bytes(4))
    loop = struct.pack(">HHII", 0x8769, 4, 1, 8)
    yield "exif in a circle", with_exif(b"MM\0*\0\0\0\x08\0\x01" + loop + struct.pack(">I", 8))
    many = struct.pack(">HHII", 0x0112, 3, 1, 6 << 16) * 5000
    yield "exif of thousands", with_exif(b"MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + many)


def hostile_pictures() -> dict[str, tuple[bytes, int]]:
    """Each with the status of the answer that it gets."""
    small, red = (
        Image.new("RGB", (64, 64), "red"),
        encoded(Image.new("RGB", (64, 64), "red"), "JPEG"),
    )
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    photoshop = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3) + bytes(99)
    packed = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    palette = Image.new("P", (6300, 6300), 1)
    found = {
        "196 MP": (png(14_000, 14_000), REFUSED),
        "as many as there are numbers": (png(9, 9)[:16] + b"\x7f\xff\xff\xff" * 2, REFUSED),
        "a little over the limit": (png(6400, 6400), REFUSED),
        "twice the limit": (png(8900, 8900), REFUSED),
        "a strip": (png(65_535, 1), REFUSED),
        "a tower": (png(1, 65_535), REFUSED),
        "no width": (png(0, 9), REFUSED),
        "no height": (png(9, 0), REFUSED),
        "all that is allowed": (png(6300, 6300), GOOD),
        "all of it transparent": (encoded(palette, "PNG", transparency=bytes(256)), GOOD),
        "a text that unpacks": (png(64, 64, packed), REFUSED),
        "a profile that unpacks": (png(64, 64, profile), REFUSED),
        "a profile of nonsense": (encoded(small, "JPEG", icc_profile=b"\xff" * 500_000), GOOD),
        "thousands of empty chunks": (png(64, 64, chunk(b"prVt", b"") * 20_000), GOOD),
        "100 000 frames of GIF": (a_long_gif(100_000), GOOD),
        "300 frames of WebP": (an_animation("WEBP", 300), GOOD),
        "300 frames of PNG": (an_animation("PNG", 300), GOOD),
        "a JPEG of scans": (a_jpeg_of_scans(2000, 6000), REFUSED),
        "a JPEG of comments": (a_jpeg_of_comments(20_000), GOOD),
        "a usual progressive JPEG": (encoded(small, "JPEG", progressive=True), GOOD),
        "a BMP of runs": (a_bmp_of_runs(3000, 1), REFUSED),
        "a small BMP of runs": (a_bmp_of_runs(100, 10), GOOD),
        "inks": (encoded(Image.new("CMYK", (64, 64)), "JPEG"), GOOD),
        "a truncated JPEG": (encoded(Image.fromarray(noise), "JPEG")[:1500], REFUSED),
        "a truncated WebP": (encoded(Image.fromarray(noise), "WEBP")[:500], REFUSED),
        "a JPEG that is a page": (red + b"<script>alert(1)</script>", GOOD),
        "a JPEG that is an archive": (red + b"PK\x03\x04" + bytes(500), GOOD),
        "a GIF that is a program": (b"GIF89a=1;alert(1)//" + bytes(50), REFUSED),
        "an icon": (b"\0\0\1\0\xff\xff" + b"\0\0\0\0\1\0\x20\0" + b"\xff" * 999, REFUSED),
        "a drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='a'/></svg>", REFUSED),
        "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", REFUSED),
        "a document": (b"%PDF-1.7\n" + bytes(200), REFUSED),
        "layers": (photoshop, REFUSED),
        "a phone's": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", REFUSED),
        "10 000 pages": (a_tiff_of_pages(10_000), REFUSED),
        "strips": (encoded(Image.fromarray(noise), "TIFF", strip_size=64), REFUSED),
        "nothing": (b"", REFUSED),
    }  # fmt: skip
    return found | {name: (content, GOOD) for name, content in _exif()}

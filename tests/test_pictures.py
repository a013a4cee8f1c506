"""Pictures as people upload them: each becomes the right pixels, or one sentence that says why."""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from scenebook.encoders.fake import FakeClip
from scenebook.encoders.pictures import MAX_SCANS, UndecodablePicture, _scans, decode
from tests.hostile_pictures import a_jpeg_of_comments, a_jpeg_of_scans
from tests.pictures import gradient

MAX_PIXELS = 40_000_000
RED, WHITE = (255, 0, 0), (255, 255, 255)
# Decodes what it is given and prints by how many KiB the process grew.
GROWTH = """
import resource, sys
from scenebook.encoders.pictures import MAX_SCANS, UndecodablePicture, _scans, decode
decode(open(sys.argv[1], "rb").read(), max_pixels=100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(open(sys.argv[2], "rb").read(), max_pixels=40_000_000)
except UndecodablePicture:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(levels: NDArray[np.integer], *, colours: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits a sample, which PIL cannot write; colours is PNG's colour type."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if transparent:
        chunks.insert(1, (b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def pixel(data: bytes) -> tuple[int, ...]:
    picture = decode(data, max_pixels=MAX_PIXELS)
    assert picture.mode == "RGB"
    found = picture.getpixel((0, 0))
    assert isinstance(found, tuple)
    return found


def refusal(data: bytes) -> str:
    with pytest.raises(UndecodablePicture) as refused:
        decode(data, max_pixels=MAX_PIXELS)
    return str(refused.value)


class TestRefused:
    def test_what_is_no_picture_is_refused_with_the_formats_that_are(self) -> None:
        tiff = encoded(Image.new("RGB", (8, 8)), "TIFF")
        svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
        heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        for data in (b"just words", tiff, svg, heic, b"\0" * 500):
            assert refusal(data) == "The picture is no JPEG, PNG, WebP, GIF or BMP."
        assert "0 bytes" in refusal(b"")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
    def test_a_truncated_picture_is_refused(self, kind: str) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        whole = encoded(Image.fromarray(noise), kind)
        for share in (0.3, 0.6, 0.9):
            assert refusal(whole[: int(len(whole) * share)]).startswith("The picture ")

    def test_too_many_pixels_are_refused_before_they_are_decoded(self, tmp_path: Path) -> None:
        small, bomb = tmp_path / "small.png", tmp_path / "bomb.png"
        small.write_bytes(encoded(Image.new("RGB", (2, 2)), "PNG"))
        bomb.write_bytes(encoded(Image.new("1", (20_000, 20_000)), "PNG"))
        done = subprocess.run(
            [sys.executable, "-c", GROWTH, str(small), str(bomb)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert int(done.stdout) < 20_000
        assert "the limit is 40000000 in all" in refusal(bomb.read_bytes())
        wide = encoded(Image.new("1", (8000, 5001)), "PNG")
        assert "8000x5001 pixels; the limit is 40000000" in refusal(wide)

    def test_a_strip_is_refused_and_a_single_pixel_is_not(self) -> None:
        for size in ((10_000, 1), (1, 101)):
            assert "one side may be at most 100 times" in refusal(
                encoded(Image.new("RGB", size), "PNG")
            )
        for size in ((100, 1), (1, 1)):
            assert pixel(encoded(Image.new("RGB", size, "red"), "PNG")) == RED


class TestColours:
    def test_cmyk_is_read_with_and_without_adobes_inversion(self) -> None:
        inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        adobe = encoded(inks, "JPEG", quality=95)
        inverted = encoded(ImageChops.invert(inks), "JPEG", quality=95)
        marker = inverted.index(b"\xff\xee")  # Adobe's marker: 2 bytes, 14 more
        plain = inverted[:marker] + inverted[marker + 16 :]
        assert pixel(adobe) == pytest.approx(RED, abs=2)
        assert pixel(plain) == pytest.approx(RED, abs=2)

    def test_sixteen_bits_a_colour_keep_their_level(self) -> None:
        grey = np.full((4, 4), 40_000)
        colour = np.stack([np.full((4, 4), one) for one in (40_000, 20_000, 65_535)], axis=-1)
        assert pixel(png(grey, colours=0)) == (156, 156, 156)
        assert pixel(png(grey // 1000, colours=0)) == (0, 0, 0)
        assert pixel(png(colour, colours=2)) == pytest.approx((156, 78, 255), abs=1)

    def test_transparent_pixels_show_white_and_never_a_hidden_colour(self) -> None:
        palette = Image.new("P", (8, 8), 1)
        palette.putpalette([0, 0, 0, 255, 0, 0])
        grey = np.full((4, 4), 40_000)
        colour = np.stack([grey, grey, grey], axis=-1)
        hidden = [
            encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"),
            encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "WEBP", lossless=True, exact=True),
            encoded(Image.new("LA", (8, 8), (7, 0)), "PNG"),
            encoded(palette, "PNG", transparency=1),
            encoded(palette, "PNG", transparency=b"\xff\x00"),
            encoded(palette, "GIF", transparency=1),
            encoded(Image.new("L", (8, 8), 7), "PNG", transparency=7),
            encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
            png(grey, colours=0, transparent=struct.pack(">H", 40_000)),
            png(colour, colours=2, transparent=struct.pack(">HHH", 40_000, 40_000, 40_000)),
        ]
        assert [pixel(data) for data in hidden] == [WHITE] * len(hidden)
        half = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG")
        assert pixel(half) == pytest.approx((255, 127, 127), abs=1)
        assert pixel(encoded(palette, "PNG")) == RED

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
    def test_of_an_animation_the_first_frame_counts(self, kind: str) -> None:
        frames = [Image.new("RGB", (8, 8), one) for one in ("red", "blue", "blue")]
        moving = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert getattr(Image.open(io.BytesIO(moving)), "n_frames", 1) > 1
        assert pixel(moving) == pytest.approx(RED, abs=2)

    def test_odd_profiles_and_damaged_exif_change_nothing(self) -> None:
        red = Image.new("RGB", (8, 8), "red")
        plain = pixel(encoded(red, "JPEG"))
        assert pixel(encoded(red, "JPEG", icc_profile=b"no profile" * 90)) == plain
        assert pixel(encoded(red, "PNG", icc_profile=b"")) == RED
        for exif in (b"Exif\0\0no exif", b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"):
            assert pixel(encoded(red, "JPEG", exif=exif)) == plain


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_a_turned_picture_has_the_vector_of_the_upright_one(
        self, kind: str, orientation: int
    ) -> None:
        quarters = np.zeros((40, 60, 3), dtype=np.uint8)
        quarters[:20, :30] = RED
        quarters[20:, :30] = (0, 255, 0)
        quarters[:20, 30:] = (0, 0, 255)
        upright = Image.fromarray(quarters)
        # How a camera that is held so stores the same view: the inverse of what brings it upright.
        stored = {
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
        turned = upright if stored is None else upright.transpose(stored)
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(turned, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
        found = decode(data, max_pixels=MAX_PIXELS)
        np.testing.assert_array_equal(np.asarray(found), quarters)
        one, other = FakeClip().encode([found, upright])
        assert float(one @ other) == pytest.approx(1, abs=1e-6)

    def test_a_jpeg_of_a_phone_is_turned_too(self) -> None:
        found = decode(gradient((60, 40), orientation=6), max_pixels=MAX_PIXELS)
        assert found.size == (40, 60)
        columns = np.asarray(found.convert("L"), dtype=float)
        assert columns[0].mean() < 20
        assert columns[-1].mean() > 235


class TestWork:
    def test_what_takes_too_much_processor_time_is_refused_and_waiting_is_not(self) -> None:
        before = signal.getsignal(signal.SIGPROF)
        with pytest.raises(UndecodablePicture, match="takes too long to decode"):
            decode(a_jpeg_of_comments(4_000_000), max_pixels=MAX_PIXELS, cpu_s=0.2)
        assert decode(a_jpeg_of_comments(9), max_pixels=MAX_PIXELS, cpu_s=5).size == (64, 64)
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGPROF) == before

    def test_scans_are_counted_as_far_as_the_picture_goes(self) -> None:
        plain = encoded(Image.new("RGB", (64, 64)), "JPEG")
        progressive = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
        inside = encoded(Image.new("RGB", (64, 64)), "JPEG", exif=b"Exif\0\0" + progressive)
        many = a_jpeg_of_scans(2000, 200)  # of a small picture they are little work
        counts = [_scans(one) for one in (plain, progressive, inside, plain + many, many)]
        assert counts[0] == counts[2] == counts[3] == 1
        assert 2 < counts[1] <= MAX_SCANS
        assert counts[4] > 2000
        assert decode(many, max_pixels=MAX_PIXELS).size == (200, 200)
        assert "scans" in refusal(a_jpeg_of_scans(2000, 2000))

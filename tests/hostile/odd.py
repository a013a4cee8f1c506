"""Files that are odd and can be indexed: each has one cut, a second after its first picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests import clips
from tests.hostile.boxes import inside, patched
from tests.hostile.kinds import kind
from tests.hostile.refused import PDF, archive

CUT_MS = 1000
TWO_SCENES = [*clips.still(1, 25), *clips.still(2, 25)]


def small(seed: int, frames: int, *, width: int = 64, height: int = 64) -> clips.Pictures:
    """A scene of small pictures."""
    return [clips.texture(seed, width=width, height=height)] * frames


def frames_of(pictures: clips.Pictures, pixels: str = "yuv420p") -> Iterator[av.VideoFrame]:
    """The pictures as a decoder gives them."""
    for picture in pictures:
        yield av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)


def encoded(
    file: av.container.OutputContainer, pictures: clips.Pictures, *, fps: Fraction, **asked: Any
) -> None:
    """A video stream of the file with these pictures, all at their times."""
    codec, pixels = asked.get("codec", "libx264"), asked.get("pixels", "yuv420p")
    stream = file.add_stream(codec, rate=fps, options=asked.get("options", {}))
    stream.height, stream.width = pictures[0].shape[:2]
    stream.pix_fmt = pixels
    if "aspect" in asked:
        stream.codec_context.sample_aspect_ratio = asked["aspect"]
    for index, frame in enumerate(frames_of(pictures, pixels)):
        frame.pts, frame.time_base = index, 1 / fps
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


@kind("video_only.mp4", "ready")
def video_only(path: Path) -> None:
    """Pictures without sound."""
    clips.write(path, TWO_SCENES)


@kind("video_then_archive.mp4", "ready")
def video_then_archive(path: Path) -> None:
    """A video to whose end an archive was added."""
    clips.write(path, TWO_SCENES)
    path.write_bytes(path.read_bytes() + archive() + PDF)


@kind("data_first.ts", "ready")
def data_first(path: Path) -> None:
    """The first stream is neither video nor sound."""
    with av.open(str(path), "w") as file:
        data = file.add_data_stream("klv")
        encoded(file, TWO_SCENES, fps=Fraction(25))
        packet = av.Packet(b"\x06\x0e\x2b\x34" + bytes(60))
        packet.stream, packet.pts, packet.dts, packet.time_base = data, 0, 0, Fraction(1, 90_000)
        file.mux(packet)


@kind("variable_rate.mkv", "ready")
def variable_rate(path: Path) -> None:
    """Pictures at uneven times."""
    before, after = list(range(0, 1000, 50)), [*range(1000, 1300, 20), 1500, 1900, 1950, 2000]
    pictures = [*clips.still(1, len(before)), *clips.still(2, len(after))]
    clips.write(path, pictures, times_ms=before + after)


@kind("late_start.mkv", "ready")
def late_start(path: Path) -> None:
    """The first picture comes after an hour."""
    clips.write(path, TWO_SCENES, start_ms=3_600_000)


@kind("negative_start.mp4", "ready")
def negative_start(path: Path) -> None:
    """Pictures before zero, hidden by an edit list."""
    with av.open(str(path), "w") as file:
        encoded(file, TWO_SCENES, fps=Fraction(25), options={"bf": "3", "b-adapt": "0"})


@kind("interlaced.mpg", "ready")
def interlaced(path: Path) -> None:
    """Fields instead of pictures."""
    with av.open(str(path), "w", format="mpeg") as file:
        options = {"flags": "+ildct+ilme", "b": "2M"}
        encoded(file, TWO_SCENES, fps=Fraction(25), codec="mpeg2video", options=options)


@kind("ten_bit.mkv", "ready")
def ten_bit(path: Path) -> None:
    """Ten bits a sample."""
    with av.open(str(path), "w") as file:
        options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}
        pixels = "yuv420p10le"
        pictures = [*small(1, 25), *small(2, 25)]
        encoded(file, pictures, fps=Fraction(25), codec="libx265", pixels=pixels, options=options)


@kind("odd_size.mkv", "ready")
def odd_size(path: Path) -> None:
    """An odd number of rows and columns, in all colours."""
    pictures = [*small(1, 25, width=161, height=121), *small(2, 25, width=161, height=121)]
    clips.write(path, pictures, pixels="yuv444p")


@kind("thin.mkv", "ready")
def thin(path: Path) -> None:
    """Two pixels high and a thousand wide."""
    pictures = [*small(1, 25, width=1000, height=2), *small(2, 25, width=1000, height=2)]
    clips.write(path, pictures)


@kind("wide_pixels.mp4", "ready")
def wide_pixels(path: Path) -> None:
    """Pixels twice as wide as high."""
    with av.open(str(path), "w") as file:
        encoded(file, TWO_SCENES, fps=Fraction(25), aspect=Fraction(2))


@kind("absurd_pixels.mp4", "ready")
def absurd_pixels(path: Path) -> None:
    """Pixels thousands of times as wide as high."""
    with av.open(str(path), "w") as file:
        encoded(file, TWO_SCENES, fps=Fraction(25), aspect=Fraction(2))
    content = path.read_bytes()
    path.write_bytes(patched(content, inside(content, b"pasp"), 10_000))


@kind("ntsc.mp4", "ready")
def ntsc(path: Path) -> None:
    """59.94 pictures a second."""
    with av.open(str(path), "w") as file:
        encoded(file, [*small(1, 60), *small(2, 60)], fps=Fraction(60_000, 1001))


@kind("thousand_a_second.mkv", "ready")
def thousand_a_second(path: Path) -> None:
    """A thousand pictures a second."""
    with av.open(str(path), "w") as file:
        pictures = [*small(1, 1000, width=32, height=32), *small(2, 500, width=32, height=32)]
        encoded(file, pictures, fps=Fraction(1000), codec="mpeg4")


@kind("no_rate.avi", "ready")
def no_rate(path: Path) -> None:
    """A header that claims 0 pictures a second; the reader then assumes 25."""
    with av.open(str(path), "w") as file:
        encoded(file, TWO_SCENES, fps=Fraction(25), codec="mpeg4")
    content = bytearray(path.read_bytes())
    header = content.index(b"strh") + 8
    struct.pack_into("<II", content, header + 20, 0, 0)
    struct.pack_into("<I", content, content.index(b"avih") + 8, 0)
    path.write_bytes(content)


@kind("jumping.mkv", "ready")
def jumping(path: Path) -> None:
    """The clock leaps two days ahead at the cut."""
    times = [*range(0, 1000, 40), *range(172_800_000, 172_801_000, 40)]
    clips.write(path, TWO_SCENES, times_ms=times)


@kind("restarting.ts", "ready")
def restarting(path: Path) -> None:
    """A recording twice, joined as it is: the clock starts again after three seconds."""
    clips.write(path, [*TWO_SCENES, *clips.still(3, 25)])
    path.write_bytes(2 * path.read_bytes())


@kind("wrapping.ts", "ready")
def wrapping(path: Path) -> None:
    """The 33-bit clock overflows at the cut."""
    clips.write(path, TWO_SCENES, start_ms=2**33 // 90 - CUT_MS)


@kind("end_of_time.mkv", "ready")
def end_of_time(path: Path) -> None:
    """Times at which a float counts no milliseconds any more."""
    clips.write(path, TWO_SCENES, start_ms=2**60)


@kind("boasting.mp4", "ready")
def boasting(path: Path) -> None:
    """Two seconds that claim to be a hundred hours, in the header alone."""
    clips.write(path, TWO_SCENES)
    content = path.read_bytes()
    scale = struct.unpack_from(">I", content, inside(content, b"mdhd") + 12)[0]
    content = patched(content, inside(content, b"mdhd") + 16, 360_000 * scale & 0xFFFFFFFF)
    path.write_bytes(patched(content, inside(content, b"mvhd") + 16, 360_000_000))


@kind("far_future.mp4", "ready")
def far_future(path: Path) -> None:
    """Made in the year 42603, with control characters in its tags."""
    date = "+042603-02-30T25:61:61Z"
    tags = {"date": date, "title": "a\x1b[31mred\u202egpj", "comment": "\ufffe \ud7ff"}
    clips.write(path, TWO_SCENES, tags=tags)


@kind("many_tags.mkv", "ready")
def many_tags(path: Path) -> None:
    """Two thousand tags, and one of a megabyte."""
    tags = {f"tag{number}": "x" * 50 for number in range(2_000)}
    clips.write(path, TWO_SCENES, tags=tags | {"title": "t" * 1_000_000})


@kind("many_chapters.mkv", "ready")
def many_chapters(path: Path) -> None:
    """Ten thousand chapters in two seconds."""
    with av.open(str(path), "w") as file:
        chapter: dict[str, Any] = {"time_base": Fraction(1, 1000), "metadata": {"title": "x" * 99}}
        file.set_chapters(
            [chapter | {"id": n, "start": n // 10, "end": n // 10 + 1} for n in range(10_000)]
        )
        encoded(file, TWO_SCENES, fps=Fraction(25))


@kind("growing.h264.ts", "ready")
def growing(path: Path) -> None:
    """The picture grows from 64 × 64 to 1280 × 720 at the cut."""
    clips.write(path, small(1, 25))
    first = path.read_bytes()
    clips.write(path, small(2, 25, width=1280, height=720), start_ms=CUT_MS)
    path.write_bytes(first + path.read_bytes())


def strobe(path: Path, *, scenes: int, pictures: int) -> Path:
    """A cut after every so many pictures."""
    return clips.write(path, [one for seed in range(scenes) for one in small(seed, pictures)])

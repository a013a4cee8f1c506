"""Files that can be read in part: what was read is indexed, and the rest is said."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import av

from tests import clips
from tests.hostile.kinds import kind
from tests.hostile.odd import encoded, frames_of, small

GRAINY = clips.noisy([*clips.still(1, 75), *clips.still(2, 75)], amount=6)


@kind("cut_off.mp4", "partial")
def cut_off(path: Path) -> None:
    """The index comes first and is whole; 40 % of the pictures are missing."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        encoded(file, GRAINY, fps=Fraction(25), options={"preset": "ultrafast", "g": "25"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


@kind("flipped.mp4", "partial")
def flipped(path: Path) -> None:
    """Two hundred bytes of the pictures are wrong."""
    clips.write(path, GRAINY, options={"g": "10"})
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    rng = Random(3)
    for _ in range(200):
        content[rng.randrange(start, end)] = rng.randrange(256)
    path.write_bytes(content)


@kind("cut_off_words.mkv", "partial")
def cut_off_words(path: Path) -> None:
    """Half of a video with subtitles, some of them hostile."""
    says = ["The lighthouse keeper waves.", "\x1b]0;owned\x07\u202eevil\u202c \x00end", "Cut off."]
    with_words(path, GRAINY, says)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@kind("bursting.ts", "partial")
def bursting(path: Path) -> None:
    """The picture grows in mid-stream beyond all limits."""
    clips.write(path, small(1, 50))
    first = path.read_bytes()
    wide = small(2, 5, width=2560, height=1600)
    clips.write(path, wide, start_ms=2000)
    path.write_bytes(first + path.read_bytes())


@kind("long_silence.mkv", "partial")
def long_silence(path: Path) -> None:
    """Two seconds of pictures beside twenty minutes of silence, in a small file."""
    with av.open(str(path), "w") as file:
        audio = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        encoded(file, [*small(1, 25), *small(2, 25)], fps=Fraction(25))
        for second in range(0, 1200, 2):
            # A packet of one millisecond: the rest is a gap, which is silence.
            packet = av.Packet(bytes(16))
            packet.stream, packet.time_base = audio, Fraction(1, 1000)
            packet.pts = packet.dts = second * 1000
            file.mux(packet)


def with_words(path: Path, pictures: clips.Pictures, says: Sequence[str]) -> None:
    """A Matroska file whose subtitles come second by second."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        video.height, video.width = pictures[0].shape[:2]
        text = _text_stream(file)
        for index, frame in enumerate(frames_of(pictures)):
            if index % 25 == 0 and index // 25 < len(says):
                packet = av.Packet(says[index // 25].encode())
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = 40 * index
                packet.duration = 900
                file.mux(packet)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))


def _text_stream(file: av.container.OutputContainer) -> av.stream.Stream:
    """A subtitle stream; the library makes one only after another."""
    source = av.open(io.BytesIO(b"1\n00:00:00,000 --> 00:00:01,000\nx\n"), format="srt")
    with source:
        return file.add_stream_from_template(source.streams[0])

"""Files of which nothing can be indexed: no videos, off the lists, or beyond the limits."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import partial
from pathlib import Path
from random import Random

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

from tests import clips
from tests.hostile.boxes import inside, patched, with_more_tracks
from tests.hostile.kinds import kind

# Indexed with this limit, a picture that is too large takes little time to make.
MAX_PIXELS = 2_000_000
SMALL = clips.texture(1, width=64, height=64)


def _bytes(name: str, code: str, content: bytes, what: str) -> None:
    def make(path: Path) -> None:
        path.write_bytes(content)

    make.__doc__ = what
    kind(name, code)(make)


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.bin", bytes(10_000_000))
    return out.getvalue()


def _image(name: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(SMALL).save(out, name)
    return out.getvalue()


PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
HTML = b"<!doctype html><script>fetch('http://127.0.0.1:9/')</script>"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
CONCAT = b"ffconcat version 1.0\nfile x.mp4\n"
DASH = b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'
WORDS = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n"

_bytes("random.mp4", "not_media", Random(1).randbytes(50_000), "Noise")
_bytes("zeros.mp4", "not_media", bytes(50_000), "Nothing but zeros")
_bytes("text.mp4", "not_media", b"The quick brown fox jumps. " * 400, "Plain text")
_bytes("page.mp4", "not_media", HTML * 40, "A web page")
_bytes("archive.mp4", "not_media", archive(), "An archive that grows a thousandfold")
_bytes("document.mp4", "not_media", PDF * 40, "A PDF")
_bytes("program.mp4", "not_media", b"\x7fELF\x02\x01\x01" + bytes(9000), "A program")
_bytes("hls.mp4", "not_media", PLAYLIST, "A playlist that names a local file")
_bytes(
    "concat.mp4", "unsupported_container", b"ffconcat version 1.0\nfile x.mp4\n", "A list of files"
)
_bytes("sdp.mp4", "unsupported_container", SDP, "A session that would listen on a port")
_bytes("dash.mp4", "not_media", DASH, "A manifest that names other hosts")
_bytes("words.mp4", "unsupported_container", WORDS, "Subtitles without a video")
_bytes("picture.mp4", "unsupported_container", _image("PNG"), "A PNG")
_bytes("animated.mp4", "unsupported_container", _image("GIF"), "A GIF")
_bytes("photo.mp4", "unsupported_container", _image("JPEG"), "A JPEG")


@kind("empty.mp4", "empty")
def empty(path: Path) -> None:
    """No bytes at all."""
    path.write_bytes(b"")


@kind("head.mp4", "not_media")
def head(path: Path) -> None:
    """The first 5 KB of a file whose index lies at its end."""
    clips.write(path, clips.noisy(clips.still(1, 10), amount=9))
    path.write_bytes(path.read_bytes()[:5000])


@kind("pdf_and_video.mp4", "not_media")
def polyglot(path: Path) -> None:
    """A document and a video in one file."""
    clips.write(path, clips.still(1, 5))
    path.write_bytes(PDF + path.read_bytes())


def _codec(codec: str, pixels: str, path: Path) -> None:
    """Video in a codec that is not on the list."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(SMALL, format="rgb24")
            file.mux(stream.encode(picture.reformat(format=pixels)))
        file.mux(stream.encode(None))


for codec, container, pixels in (
    ("magicyuv", "avi", "yuv420p"),
    ("huffyuv", "avi", "yuv422p"),
    ("utvideo", "avi", "yuv420p"),
    ("zmbv", "avi", "bgr0"),
    ("qtrle", "mov", "rgb24"),
    ("png", "mov", "rgb24"),
    ("svq1", "mov", "yuv410p"),
    ("cfhd", "mov", "yuv422p10le"),
    ("flashsv", "flv", "bgr24"),
    ("snow", "avi", "yuv420p"),
):
    write = partial(_codec, codec, pixels)
    write.__doc__ = f"Video in {codec}, which is not on the list"
    kind(f"{codec}.{container}", "unsupported_codec")(write)


@kind("sound.mp4", "no_video")
def sound_only(path: Path) -> None:
    """Sound and nothing to see."""
    with av.open(str(path), "w") as file:
        _add_sound(file, 1.0)


@kind("cover.m4a", "no_video")
def cover(path: Path) -> None:
    """Sound with a cover picture, which is a video stream to the library."""
    photo = io.BytesIO(_image("JPEG"))
    with (
        av.open(photo, format="jpeg_pipe") as source,
        av.open(str(path), "w", format="mp4") as file,
    ):
        stream = file.add_stream_from_template(source.streams.video[0])
        stream.disposition = Disposition.attached_pic
        _add_sound(file, 1.0)
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                file.mux(packet)


def _add_sound(file: av.container.OutputContainer, seconds: float) -> None:
    audio = file.add_stream("aac", rate=48_000, layout="mono")
    samples = clips.tone(seconds)[np.newaxis]
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48_000, 0
    fifo = av.AudioFifo()
    fifo.write(frame)
    while (block := fifo.read(1024, partial=True)) is not None:
        file.mux(audio.encode(block))
    file.mux(audio.encode(None))


@kind("words_only.mkv", "no_video")
def words_only(path: Path) -> None:
    """Subtitles in a video's container."""
    with av.open(io.BytesIO(WORDS), format="srt") as source, av.open(str(path), "w") as file:
        stream = file.add_stream_from_template(source.streams[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)


def _grey(path: Path, width: int, height: int) -> None:
    """One grey picture."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        frame = av.VideoFrame(width, height, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


@kind("huge_header.avi", "undecodable")
def huge_header(path: Path) -> None:
    """A small picture whose header claims 16 000 × 16 000 pixels."""
    _grey(path, 64, 64)
    content = path.read_bytes()
    at = content.index(b"\xff\xc0") + 5
    assert content[at : at + 4] == struct.pack(">HH", 64, 64)
    path.write_bytes(content[:at] + struct.pack(">HH", 16_000, 16_000) + content[at + 4 :])


@kind("huge_picture.mkv", "too_large")
def huge_picture(path: Path) -> None:
    """More grey pixels than MAX_PIXELS, in a few kilobytes."""
    _grey(path, 2000, MAX_PIXELS // 2000 + 1)


@kind("many_streams.mp4", "too_many_streams")
def many_streams(path: Path) -> None:
    """Three thousand tracks."""
    clips.write(path, [SMALL] * 3)
    path.write_bytes(with_more_tracks(path.read_bytes(), 3000))


@kind("hundred_hours.mp4", "too_long")
def hundred_hours(path: Path) -> None:
    """A few pictures that last a hundred hours, says the index."""
    clips.write(path, [SMALL] * 1000, options={"g": "1000"})
    content = path.read_bytes().replace(b"edts", b"free")  # nothing says where to stop
    scale = inside(content, b"mdhd") + 12
    (ticks,) = struct.unpack_from(">I", content, scale)
    # What were milliseconds are seconds now, or even longer.
    path.write_bytes(patched(content, scale, max(1, ticks // 10_000)))


@kind("no_picture.mp4", "undecodable")
def no_picture(path: Path) -> None:
    """A good index over noise."""
    clips.write(path, clips.noisy(clips.still(1, 20), amount=9))
    content = path.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    path.write_bytes(content[:start] + Random(2).randbytes(end - start) + content[end:])


@kind("end_of_time.mp4", "too_long")
def end_of_time(path: Path) -> None:
    """An index whose times come close to the largest 64-bit number."""
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as file:
        stream = file.add_stream("libx264", rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(20):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(SMALL, format="rgb24")))
        file.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    at = content.find(b"tfdt")
    while at >= 0:
        (ticks,) = struct.unpack_from(">q", content, at + 8)
        struct.pack_into(">q", content, at + 8, 2**62 + ticks)
        at = content.find(b"tfdt", at + 1)
    path.write_bytes(content)

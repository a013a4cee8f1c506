"""Makes small videos with known cuts, so that tests know the truth to the frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 320, 180, 25
Picture = NDArray[np.uint8]
Pictures = list[Picture]


def texture(seed: int, *, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """A random picture with large and small detail, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 0.6), (12, 0.3), (48, 0.1)):
        grid = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        rows = np.arange(height) * cells // height
        columns = np.arange(width) * cells // width
        picture += weight * grid[rows][:, columns]
    return picture.clip(0, 255).astype(np.uint8)


def still(seed: int, frames: int) -> Pictures:
    """A scene in which nothing moves."""
    return [texture(seed)] * frames


def noisy(pictures: Sequence[Picture], *, amount: int, seed: int = 0) -> Pictures:
    """The pictures with film grain of this many levels."""
    rng = np.random.default_rng(seed)
    grain = rng.integers(-amount, amount + 1, (len(pictures), HEIGHT, WIDTH, 1))
    return [
        (picture.astype(np.int16) + part).clip(0, 255).astype(np.uint8)
        for picture, part in zip(pictures, grain, strict=True)
    ]


def pan(seed: int, frames: int, *, step: int = 4) -> Pictures:
    """A camera that turns over a wide picture, `step` pixels a frame."""
    wide = texture(seed, width=WIDTH + step * frames)
    return [wide[:, step * index : step * index + WIDTH] for index in range(frames)]


def flat(level: int, frames: int) -> Pictures:
    """Black, white or grey."""
    return [np.full((HEIGHT, WIDTH, 3), level, np.uint8)] * frames


def dissolve(one: Picture, other: Picture, frames: int) -> Pictures:
    """From one picture to the other; neither of them is part of it."""
    shares = np.linspace(0, 1, frames + 2)[1:-1]
    return [((1 - share) * one + share * other).astype(np.uint8) for share in shares]


def wipe(one: Picture, other: Picture, frames: int) -> Pictures:
    """The other picture comes in from the left."""
    pictures = []
    for share in np.linspace(0, 1, frames + 2)[1:-1]:
        picture = one.copy()
        picture[:, : round(share * WIDTH)] = other[:, : round(share * WIDTH)]
        pictures.append(picture)
    return pictures


def tone(seconds: float, *, rate: int = 48_000, level: float = 0.3) -> NDArray[np.float32]:
    """A sound of 440 Hz."""
    ticks = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * 440 * ticks)).astype(np.float32)


def write(
    path: Path,
    pictures: Iterable[Picture],
    *,
    fps: int = FPS,
    times_ms: Sequence[int] | None = None,
    start_ms: int = 0,
    sound: NDArray[np.float32] | None = None,
    sound_start_ms: int = 0,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> Path:
    """Encode pictures and a mono sound of 48 kHz.

    times_ms gives each picture its own time; start_ms delays all of them. The container follows
    from the name; Matroska keeps delays as they are.
    """
    with av.open(str(path), "w") as file:
        file.metadata.update(tags or {})
        video = None
        audio = (
            file.add_stream("pcm_s16le", rate=48_000, layout="mono") if sound is not None else None
        )
        for index, picture in enumerate(pictures):
            if video is None:
                quick = {"preset": "ultrafast", "crf": "18"} if codec == "libx264" else {}
                video = file.add_stream(codec, rate=fps, options=quick | (options or {}))
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = pixels
                video.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.time_base = Fraction(1, 1000)
            frame.pts = start_ms + (times_ms[index] if times_ms else round(1000 * index / fps))
            file.mux(video.encode(frame))
        if video is not None:
            file.mux(video.encode(None))
        if audio is not None and sound is not None:
            for first in range(0, len(sound), 4800):
                samples = (32767 * sound[first : first + 4800]).astype(np.int16)[np.newaxis]
                block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                block.sample_rate = 48_000
                block.time_base = Fraction(1, 48_000)
                block.pts = sound_start_ms * 48 + first
                file.mux(audio.encode(block))
            file.mux(audio.encode(None))
    return path

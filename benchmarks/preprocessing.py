"""Where a frame should become as small as CLIP's input, and what the shorter ways cost in accuracy.

    python -m benchmarks.preprocessing [FILE...] [--frames 40]

The reference is a full frame, converted with FFmpeg's exact arithmetic and reduced by open_clip's
own PIL transform. Against it stand the stored keyframe (640 pixels, JPEG), the same read at a
fraction of its size (Pillow's `draft`), and frames that swscale brings straight to the model's
size, as they are and as JPEG. Prints, for each model, the cosine between the vectors, the share of
the distance between different frames that the difference makes up, and the milliseconds of CPU
time a frame in the process that decodes the video and in the one that runs the model. Without
files it measures tests/media/composite_dev.mp4. No weights of ViT-B-32 are shipped: its own are
random, and its cosines a hint at most. Exit status 1 if a stored keyframe is below 0.995.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from scenebook.encoders.pictures import reduce_short_side
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.settings import load
from worker.media.stills import JPEG_QUALITY, SPC_UNSPECIFIED, Stills

ROOT = Path(__file__).resolve().parents[1]
FILM = ROOT / "tests" / "media" / "composite_dev.mp4"
FIGURES = ROOT / "scenebook" / "checkpoints" / "figures"
NEEDED = 0.995
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
FILTERS = {
    "area": Interpolation.AREA,
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
    "lanczos": Interpolation.LANCZOS,
    "exact": EXACT,
}


@dataclass(frozen=True)
class Model:
    """An image tower, its transform (PIL picture -> tensor) and its input size."""

    name: str
    encode: Callable[[Any], Any]
    transform: Callable[[Image.Image], Any]
    side: int


@dataclass(frozen=True)
class Way:
    """Two steps: what the decoding process makes of a frame, and the picture made of that."""

    name: str
    leave: Callable[[av.VideoFrame], Any]
    read: Callable[[Any], Image.Image]


def models() -> list[Model]:
    """The shipped checkpoint, or its architecture alone, and ViT-B-32 with random weights."""
    declare_missing_operators()
    import open_clip
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the time of one thread is what is measured
    cv2.setNumThreads(1)
    weights = FIGURES / "open_clip_model.safetensors"
    if weights.exists():
        name, label = f"local-dir:{FIGURES}", "figures"
    else:
        described = json.loads((FIGURES / "open_clip_config.json").read_text())
        with tempfile.TemporaryDirectory() as folder:
            configuration = Path(folder) / "figures.json"
            configuration.write_text(json.dumps(described["model_cfg"]))
            open_clip.add_model_config(configuration)
        name, label = "figures", "figures, random weights"
    made = []
    for one, title in ((name, label), ("ViT-B-32", "ViT-B-32, random weights")):
        model, _, transform = open_clip.create_model_and_transforms(one)
        size = model.visual.image_size
        side = size[0] if isinstance(size, tuple) else size
        made.append(Model(title, model.eval().encode_image, transform, side))
    return made


def frames_of(path: Path, count: int) -> list[av.VideoFrame]:
    """Frames at equal distances over the whole file."""
    with av.open(str(path)) as container:
        total = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        wanted = {total * place // count for place in range(count)}
        return [frame for at, frame in enumerate(container.decode(video=0)) if at in wanted]


def colours_of(frame: av.VideoFrame) -> int:
    """The colour matrix that the keyframes are made with."""
    told = int(frame.colorspace)
    usual = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    return int(usual) if told == SPC_UNSPECIFIED else told


def scaled(
    frame: av.VideoFrame, scaler: VideoReformatter, how: Interpolation, short_side: int | None
) -> NDArray[np.uint8]:
    """The frame in RGB, its short side brought to short_side pixels if that is given."""
    factor = 1.0 if short_side is None else short_side / min(frame.width, frame.height)
    colours = colours_of(frame)
    made = scaler.reformat(
        frame, max(1, round(frame.width * factor)), max(1, round(frame.height * factor)), "rgb24",
        src_colorspace=colours, dst_colorspace=colours, interpolation=how, threads=1,
    )  # fmt: skip
    return np.asarray(made.to_ndarray(), np.uint8)


def ways(first: av.VideoFrame, side: int, folder: Path) -> list[Way]:
    """The reference, then what may replace it; `side` is the model's input size."""
    limit = max(side, load({}).clip_max_image_size)
    stills, scaler = Stills(first, None), VideoReformatter()

    def keyframe(frame: av.VideoFrame) -> bytes:
        stills.write_jpeg(stills.reduced(frame), folder / "keyframe.jpg")
        return (folder / "keyframe.jpg").read_bytes()

    def opened(data: bytes) -> Image.Image:
        return reduce_short_side(Image.open(io.BytesIO(data)).convert("RGB"), limit)

    def drafted(data: bytes) -> Image.Image:
        picture = Image.open(io.BytesIO(data))
        picture.draft("RGB", (limit, limit))
        return reduce_short_side(picture.convert("RGB"), limit)

    def small(how: Interpolation) -> Callable[[av.VideoFrame], NDArray[np.uint8]]:
        return lambda frame: scaled(frame, scaler, how, side)

    def small_jpeg(quality: int) -> Callable[[av.VideoFrame], bytes]:
        def leave(frame: av.VideoFrame) -> bytes:
            picture = scaled(frame, scaler, EXACT, side)[:, :, ::-1]
            options = [cv2.IMWRITE_JPEG_QUALITY, quality]
            return bytes(cv2.imencode(".jpg", np.ascontiguousarray(picture), options)[1])

        return leave

    return [
        Way("full frame", lambda frame: scaled(frame, scaler, EXACT, None), Image.fromarray),
        Way("stored keyframe", keyframe, opened),
        Way("stored keyframe, draft", keyframe, drafted),
        *(Way(f"swscale {name}", small(how), Image.fromarray) for name, how in FILTERS.items()),
        *(
            Way(f"swscale exact, JPEG {quality}", small_jpeg(quality), opened)
            for quality in (JPEG_QUALITY, 95)
        ),
    ]


def measured(
    way: Way, model: Model, frames: Iterable[av.VideoFrame]
) -> tuple[NDArray[np.float64], float, float]:
    """Vectors of norm 1, (frames, dimensions), and CPU milliseconds a frame of the two steps."""
    import torch

    tensors, leaving, reading = [], [], []
    for frame in frames:
        began = time.thread_time()
        left = way.leave(frame)
        between = time.thread_time()
        tensors.append(model.transform(way.read(left)))
        leaving.append(between - began)
        reading.append(time.thread_time() - between)
    with torch.inference_mode():
        found = np.concatenate(
            [model.encode(part).numpy() for part in torch.stack(tensors).split(8)]
        )
    vectors = found.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, 1000 * float(np.median(leaving)), 1000 * float(np.median(reading))


def add_rows(table: Table, film: Path, model: Model, frames: list[av.VideoFrame]) -> float:
    """One row a way, compared with the first; returns the lowest cosine of the stored keyframe."""
    with tempfile.TemporaryDirectory() as folder:
        found = [
            (way.name, *measured(way, model, frames))
            for way in ways(frames[0], model.side, Path(folder))
        ]
    reference = found[0][1]
    present = float((reference * found[1][1]).sum(axis=1).min())
    apart = 1 - float((reference @ reference.T)[np.triu_indices(len(frames), 1)].mean())
    size = f"{frames[0].width} x {frames[0].height}"
    for place, (name, vectors, leave_ms, read_ms) in enumerate(found):
        cosines = (reference * vectors).sum(axis=1)
        lowest = float(cosines.min())
        table.add_row(
            dict(enumerate((model.name, film.name, size))).get(place, ""),
            name,
            f"[{'green' if lowest >= NEEDED else 'red'}]{lowest:.5f}[/]",
            f"{cosines.mean():.5f}",
            f"{100 * (1 - cosines.mean()) / apart:.2f}",
            f"{leave_ms:.2f}",
            f"{read_ms:.2f}",
        )
    table.add_section()
    return present


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, default=[FILM])
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    table = Table(title="From a decoded frame to CLIP's input, against the full frame")
    for name in ("model", "way"):
        table.add_column(name)
    for name in ("lowest cosine", "mean", "% of distance", "decoder ms", "model side ms"):
        table.add_column(name, justify="right")
    loaded = models()
    lowest = 1.0
    for film in options.files:
        frames = frames_of(film, options.frames)
        for model in loaded:
            lowest = min(lowest, add_rows(table, film, model, frames))
    Console(width=120).print(table)
    sys.exit(0 if lowest >= NEEDED else 1)


if __name__ == "__main__":
    main()

"""Does CLIP's deadline bound time, and what does the child cost against calling the model directly?

    python -m benchmarks.clip_deadline [--pictures 32] [--rounds 3] [--no-throughput]

First, ten scenes of which the third hangs for ever, deaf to signals: what became of each, and the
time against the promised bound. Second, pictures a second of ViT-B-32 with random weights (its
speed does not depend on them; the 600 MB checkpoint is made in a temporary directory): through the
inference child in batches, and in this process one by one, in rounds that take
turns.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from rich.console import Console
from rich.table import Table

from scenebook.encoders.client import Encoders
from scenebook.encoders.clip import ClipModel
from scenebook.encoders.pictures import decode
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.settings import load

SCENES = 10
HANGING = 2
TIMEOUT_S = 2.0
# The fake model's child is back within this; a real model's loading time comes on top.
RESTART_S = 3.0
# Long enough that a busy machine does not turn the measurement of speed into one of timeouts.
PATIENT_S = 60.0
MODEL = "ViT-B-32"
MAX_PIXELS = 40_000_000


def picture(*, comment: str | None = None, seed: int = 0) -> bytes:
    """A 640x360 picture of noise: JPEG, or PNG with a comment for the fake CLIP."""
    blocks = np.random.default_rng(seed).integers(0, 255, (18, 32, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((640, 360), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    if comment is None:
        image.save(file, "JPEG", quality=90)
    else:
        information = PngImagePlugin.PngInfo()
        information.add_text("comment", comment)
        image.save(file, "PNG", pnginfo=information)
    return file.getvalue()


def deadline() -> tuple[Counter[str], float, int]:
    """What became of ten scenes of which one hangs, the seconds it took, and the restarts."""
    settings = {"CLIP_ENABLED": "true", "CLIP_MODEL_NAME": "fake", "CLIP_TIMEOUT_S": str(TIMEOUT_S)}
    encoders = Encoders(load(settings))
    try:
        encoders.image_space()
        scenes: list[bytes | None] = [picture(seed=scene) for scene in range(SCENES)]
        scenes[HANGING] = picture(comment="hang")
        began = time.monotonic()
        answers = encoders.encode_images(scenes)
        elapsed_s = time.monotonic() - began
        return Counter(str(answer.status) for answer in answers), elapsed_s, encoders.restarts
    finally:
        encoders.close()


def make_checkpoint(directory: Path) -> None:
    """ViT-B-32 with random weights, as a directory that open_clip loads."""
    declare_missing_operators()
    import open_clip
    from safetensors.torch import save_file

    configuration = open_clip.get_model_config(MODEL)
    model = open_clip.create_model(MODEL, pretrained=None)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, directory / "open_clip_model.safetensors")
    (directory / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": configuration, "preprocess_cfg": {}})
    )


def throughput(count: int, rounds: int) -> tuple[float, float]:
    """Pictures a second through the child and directly, medians of rounds that take turns."""
    pictures: list[bytes] = [picture(seed=seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder))
        settings = load(
            {"CLIP_ENABLED": "true", "CLIP_PRETRAINED": folder, "CLIP_TIMEOUT_S": str(PATIENT_S)}
        )
        encoders = Encoders(settings)
        direct = ClipModel(
            model_name=MODEL, pretrained=folder, device="cpu", cache_dir=folder,
            max_image_size=settings.clip_max_image_size, threads=2,
        )  # fmt: skip
        ways: tuple[Callable[[], object], Callable[[], object]] = (
            lambda: encoders.encode_images(pictures),
            lambda: [direct.encode([decode(data, max_pixels=MAX_PIXELS)]) for data in pictures],
        )
        encoders.encode_images(pictures[:2])
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for way, taken in zip(ways, times, strict=True):
                began = time.monotonic()
                way()
                taken.append(time.monotonic() - began)
        encoders.close()
    return count / statistics.median(times[0]), count / statistics.median(times[1])


def main() -> None:
    """Print the table; exit status 1 if the promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-throughput", action="store_true")
    options = parser.parse_args()
    table = Table("figure", "measured", "promised", title="CLIP in its child")
    counts, elapsed_s, restarts = deadline()
    bound_s = 2 * TIMEOUT_S + restarts * RESTART_S
    held = counts == {"ok": SCENES - 1, "timeout": 1} and elapsed_s <= bound_s
    became = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    table.add_row("ten scenes, one hangs", became, f"{SCENES - 1} ok, 1 timeout")
    table.add_row("time for the ten", f"{elapsed_s:.2f} s", f"<= {bound_s:.1f} s")
    table.add_row("restarts of the child", str(restarts), "2")
    if not options.no_throughput:
        child, direct = throughput(options.pictures, options.rounds)
        table.add_row(f"{MODEL} through the child, batches", f"{child:.1f} pictures/s", "")
        table.add_row(f"{MODEL} in process, one by one", f"{direct:.1f} pictures/s", "")
        table.add_row("child : direct", f"{child / direct:.2f}", ">= 1")
    Console().print(table)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()

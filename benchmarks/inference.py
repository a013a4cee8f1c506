"""What exported models gain over torch: speed and memory, each runtime in the child that serves it.

    python -m benchmarks.inference [--rounds 7] [--keep DIRECTORY]

ViT-B-32 has random weights (a checkpoint of 600 MB in a temporary directory): they are enough for
speed, which does not depend on them, and say nothing of accuracy, which `scenebook models export`
and the tests measure on trained weights. The sentence model is the real one. Contestants take turns
within each round; the figures are medians, and the last line tells how far single measurements
were from them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.clip_deadline import MODEL, make_checkpoint
from scenebook.encoders.exports import export_model
from scenebook.model_speed import Measured, measure
from scenebook.settings import Settings, load

BATCHES = (1, 32)
LEAST_RATIO = {1: 3.0, 32: 2.5}
MOST_QUERY_SHARE = 1 / 3
MOST_PEAK_MB = 450
LEAST_TEXT_RATIO = 2.0
TORCH, INT8, FP32 = "torch fp32", "ONNX int8", "ONNX fp32"


@contextmanager
def workplace(keep: Path | None) -> Iterator[Path]:
    """The directory for checkpoint and exports; a kept one is used again."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def contestants(folder: Path, console: Console) -> dict[str, Settings]:
    """The settings of each runtime; what is missing of checkpoint and exports is made."""
    checkpoint = folder / "vit"
    if not checkpoint.is_dir():
        checkpoint.mkdir()
        make_checkpoint(checkpoint)
    common = {"CLIP_ENABLED": "true", "CLIP_PRETRAINED": str(checkpoint)}
    found = {TORCH: load(common | {"ENCODER_RUNTIME": "torch"})}
    for name, precision in ((INT8, "int8"), (FP32, "fp32")):
        settings = load(
            common | {"ENCODER_RUNTIME": "onnx", "ENCODER_EXPORTS_DIR": str(folder / precision)}
        )
        for kind in ("clip", "text"):
            if not list((folder / precision).glob(f"{kind}-*")):
                with console.status(f"Exporting the {kind} model in {precision}…"):
                    export_model(settings, kind, precision=precision)
        found[name] = settings
    return found


def figures(
    clip: Mapping[str, Measured], text: Mapping[str, Measured], both: Mapping[str, Measured]
) -> Iterator[tuple[str, list[str], str, str, bool]]:
    """Rows of the table: figure, each contestant's, int8 to torch, what is promised, held."""
    torch, int8 = clip[TORCH], clip[INT8]
    for batch in BATCHES:
        ratio = int8.images_per_s[batch] / torch.images_per_s[batch]
        rates = [f"{clip[name].images_per_s[batch]:.1f}" for name in clip]
        held = ratio >= LEAST_RATIO[batch]
        promise = f">= {LEAST_RATIO[batch]:g}"
        yield f"{MODEL}: pictures/s, batch {batch}", rates, f"{ratio:.2f}", promise, held
    queries = {name: one.query_ms or 0.0 for name, one in clip.items()}
    share = queries[INT8] / queries[TORCH]
    times = [f"{query:.1f}" for query in queries.values()]
    held = share <= MOST_QUERY_SHARE
    yield f"{MODEL}: a query, ms", times, f"{share:.2f}", f"<= {MOST_QUERY_SHARE:.2f}", held
    rates = {name: one.texts_per_s or 0.0 for name, one in text.items()}
    ratio = rates[INT8] / rates[TORCH]
    shown = [f"{rate:.0f}" for rate in rates.values()]
    held = ratio >= LEAST_TEXT_RATIO
    yield "MiniLM: texts/s, batch 32", shown, f"{ratio:.2f}", f">= {LEAST_TEXT_RATIO:g}", held
    for title, measured in ((f"child with {MODEL}", clip), ("child with both models", both)):
        peaks = {name: one.peak_mb or 0.0 for name, one in measured.items()}
        share = peaks[INT8] / peaks[TORCH]
        shown = [f"{peak:.0f}" for peak in peaks.values()]
        held = peaks[INT8] <= MOST_PEAK_MB
        yield f"{title}: peak, MiB", shown, f"{share:.2f}", f"<= {MOST_PEAK_MB} MiB", held


def main() -> None:
    """Print the table; exit status 1 if a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="keep checkpoint and exports here")
    options = parser.parse_args()
    console = Console(width=120)
    with workplace(options.keep) as folder:
        rivals = contestants(folder, console)
        rounds = options.rounds
        clip = measure(rivals, kinds=["clip"], batches=BATCHES, rounds=rounds)
        text = measure(rivals, kinds=["text"], batches=BATCHES, rounds=rounds)
        both = measure(rivals, kinds=["clip", "text"], batches=[32], rounds=1)
    table = Table(
        "figure", *rivals, "int8 : torch", "promised", "held", title="Exported models against torch"
    )
    rows = list(figures(clip, text, both))
    for name, shown, ratio, promise, held in rows:
        table.add_row(name, *shown, ratio, promise, "yes" if held else "no")
    console.print(table)
    spread = max(one.spread for one in (*clip.values(), *text.values()))
    console.print(f"Medians of {rounds}; single measurements were up to {spread:.0%} off them.")
    sys.exit(0 if all(held for *_, held in rows) else 1)


if __name__ == "__main__":
    main()

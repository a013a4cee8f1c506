"""`scenebook train-clip`: fine-tune CLIP on pairs of pictures and captions."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from scenebook.cli.commands import AsJson, Owner, app, quiet_settings, working_as
from scenebook.cli.output import answer, notes
from scenebook.errors import Conflict, InvalidInput, ModelUnavailable
from scenebook.synthetic.dataset import Course, write_training_set

if TYPE_CHECKING:
    from scenebook.training.clip import Recipe, Step, Trained, Trainee
    from scenebook.training.finishing import Finished
    from scenebook.training.pairs import Pair

EPOCHS = 10


Out = Annotated[Path, typer.Option(help="Directory for the checkpoint.")]
Pairs = Annotated[
    Path | None, typer.Option(help="CSV: image, caption, and perhaps group and label.")
]
Described = Annotated[
    bool, typer.Option("--described", help="Use the owner's described keyframes.")
]
Synthetic = Annotated[
    int | None, typer.Option(min=100, help="Generate so many pairs: shapes, colours, places.")
]
Teach = Annotated[Course, typer.Option("--course", help="What the generated pairs are to teach.")]
Model = Annotated[
    str | None, typer.Option(help="open_clip architecture. Default: CLIP_MODEL_NAME.")
]
Pretrained = Annotated[
    str | None, typer.Option(help="Tag, file or directory. Default: CLIP_PRETRAINED.")
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Begin with random weights.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help=f"Batches. Default: {EPOCHS} times through the pairs.")
]
BatchSize = Annotated[int, typer.Option(min=2, help="Pairs in a batch.")]
LearningRate = Annotated[float, typer.Option(min=0.0, help="At its peak.")]
ValidationShare = Annotated[
    float, typer.Option(min=0.01, max=0.5, help="Share of the pairs that is held out.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same data and order.")]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to train.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="auto: bf16 where the processor computes it, else fp32."),
]


@app.command(name="train-clip")
def train_clip(
    out: Out,
    pairs: Pairs = None,
    described: Described = False,
    synthetic: Synthetic = None,
    course: Teach = Course.COARSE,
    model: Model = None,
    pretrained: Pretrained = None,
    from_scratch: FromScratch = False,
    steps: Steps = None,
    batch_size: BatchSize = 256,
    learning_rate: LearningRate = 1e-5,
    validation_share: ValidationShare = 0.05,
    seed: Seed = 0,
    device: Device = "cpu",
    precision: Precision = "auto",
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune CLIP on image-caption pairs, and print the recall before and after."""
    if [pairs is not None, described, synthetic is not None].count(True) != 1:
        raise InvalidInput("Name the pairs: one of --pairs, --described and --synthetic.")
    clip = training_code()
    require_room(out)
    settings = quiet_settings()
    with tempfile.TemporaryDirectory(prefix="scenebook-training-") as name:
        found = gathered(
            Path(name),
            pairs,
            described=described,
            synthetic=synthetic,
            course=course,
            seed=seed,
            owner=owner,
        )
        trainee = clip.Trainee.load(
            model or settings.clip_model_name,
            pretrained or settings.clip_pretrained,
            from_scratch=from_scratch,
            cache_dir=str(settings.clip_cache_dir),
        )
        recipe = clip.Recipe(
            steps=steps or max(1, EPOCHS * len(found) // batch_size),
            batch_size=batch_size,
            learning_rate=learning_rate,
            validation_share=validation_share,
            seed=seed,
            threads=settings.clip_cpu_threads,
            device=device,
            precision=precision,
        )
        finish(out, run(out, trainee, found, recipe, private=described), as_json=as_json)


def training_code() -> Any:
    """The module that trains; it loads torch. Raises ModelUnavailable if that is not installed."""
    try:
        from scenebook.training import clip
    except ImportError as error:
        raise ModelUnavailable(
            f"Training needs the packages of the extra 'clip' ({error}): pip install "
            "'scenebook[clip]'."
        ) from error
    return clip


def finish(out: Path, done: Finished, *, as_json: bool) -> None:
    """Say what training reached and how to use it."""
    lines = [f"recall@1 before: {done.trained.before}", f"recall@1 after:  {done.trained.after}"]
    if done.calibrated is not None:
        lines.append(
            f"calibration error {done.calibrated.error:.3f}, measured with "
            f"{done.calibrated.pictures} labelled pictures"
        )
    lines.append(f"To search with it: CLIP_ENABLED=true CLIP_PRETRAINED={out}")
    answer(shape(out, done.trained), Text("\n".join(lines)), as_json=as_json)


def require_room(out: Path) -> None:
    """Raise Conflict if the directory holds a checkpoint already: training must not replace it."""
    if (out / "open_clip_config.json").exists():
        raise Conflict(f"{out} holds a checkpoint already. Name another directory with --out.")


def shape(out: Path, trained: Trained) -> dict[str, Any]:
    """The answer as JSON."""
    return {
        "checkpoint": str(out),
        "recall_before": {
            "text_to_image": trained.before.text_to_image,
            "image_to_text": trained.before.image_to_text,
        },
        "recall_after": {
            "text_to_image": trained.after.text_to_image,
            "image_to_text": trained.after.image_to_text,
        },
        "validation_pairs": trained.after.pairs,
    }


def gathered(
    directory: Path,
    table: Path | None,
    *,
    described: bool,
    synthetic: int | None,
    course: Course,
    seed: int,
    owner: str | None,
) -> list[Pair]:
    """The pairs of a table, of an owner's described scenes, or generated ones."""
    from scenebook.training.pairs import described_keyframes, read_pairs

    if described:
        with working_as(owner) as place:
            return described_keyframes(
                place.database, place.storage, owner_id=place.owner_id, directory=directory
            )
    if synthetic is not None:
        with bar("Drawing", synthetic) as moved:
            table = write_training_set(
                directory,
                count=synthetic,
                seed=seed,
                course=course,
                report=lambda done: moved(done, ""),
            )
    assert table is not None
    return read_pairs(table)


def run(
    out: Path, trainee: Trainee, pairs: list[Pair], recipe: Recipe, *, private: bool
) -> Finished:
    """Train under a progress bar and write the checkpoint with all that belongs to it."""
    from scenebook.training.clip import train
    from scenebook.training.finishing import finished

    with bar("Training", recipe.steps) as moved:

        def report(step: Step) -> None:
            moved(step.number, f"loss {step.loss:.3f}")

        trained = train(trainee, pairs, recipe, report=report)
    command = " ".join(["scenebook", *sys.argv[1:]])
    return finished(trainee, trained, out, command=command, pairs=len(pairs), private=private)


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar; gives a function that takes how much is done, and a remark."""
    with Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"), console=notes(),
    ) as progress:  # fmt: skip
        task = progress.add_task(what, total=total, remark="")

        def moved(done: int, remark: str) -> None:
            progress.update(task, completed=done, remark=remark)

        yield moved

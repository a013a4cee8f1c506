"""`scenebook classify`, `verify` and `encode`: what a picture shows, without any database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenebook.cli.commands import AsJson, app, quiet_settings
from scenebook.cli.output import answer, notes
from scenebook.errors import InvalidInput

if TYPE_CHECKING:  # loading it takes a second that other commands need not wait
    from scenebook.classification import Ranked, Verification
    from scenebook.seeing import VisualModel

UNCALIBRATED = (
    "These probabilities are not calibrated for this model: they rank well, but 0.9 need not be "
    "right 9 times in 10. docs/classification.md says how to calibrate."
)
MOST_ALTERNATIVES = 10

ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="JPEG, PNG, WebP, GIF or BMP.")]


@contextmanager
def visual_model() -> Iterator[VisualModel]:
    """The configured CLIP; asking for it is reason enough to load it."""
    from scenebook.seeing import VisualModel

    with notes().status("Looking…"), VisualModel(quiet_settings()) as model:
        yield model


@app.command()
def classify(
    image: ImageFile,
    labels: Annotated[list[str], typer.Argument(metavar="LABEL", help="What it may show.")],
    as_json: AsJson = False,
) -> None:
    """Rank labels by how well they fit a picture."""
    with visual_model() as model:
        found = model.classify(image, labels)
    table = _note(_ranking(found["ranked"]), calibrated=found["calibrated"])
    answer(found, table, as_json=as_json)


@app.command()
def verify(
    image: ImageFile,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What it is said to show.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may show instead; repeat for several. "
            "Default: what the model was trained on, or everyday things."
        ),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least probability of a match, 0 to 1.")] = 0.7,
    as_json: AsJson = False,
) -> None:
    """Check a label against alternatives; exit code 1 if the picture does not match it."""
    with visual_model() as model:
        found = model.verify_classification(image, label, threshold, against=against)
    answer(found, _verdict(found), as_json=as_json)
    if not found["is_match"]:
        raise typer.Exit(1)


@app.command()
def encode(
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="JPEG, PNG, WebP, GIF or BMP.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Words, in the space of pictures.")] = None,
    image_weight: Annotated[
        float, typer.Option(help="Share of the picture where both are given, 0 to 1.")
    ] = 0.5,
    as_json: AsJson = False,
) -> None:
    """The vector of a picture, of a text, or of both as one query."""
    with visual_model() as model:
        if image is not None and text is not None:
            kind, vector = "multimodal", model.encode_multimodal(image, text, image_weight)
        elif image is not None:
            kind, vector = "image", model.encode_image(image)
        elif text is not None:
            kind, vector = "text", model.encode_text(text)
        else:
            raise InvalidInput("There is nothing to encode. Give --image, --text or both.")
        space = model.space()
    numbers = [float(number) for number in vector]
    shape = {
        "kind": kind,
        "model": space.model,
        "weights": space.weights,
        "revision": space.revision,
        "dimensions": space.dimensions,
        "vector": numbers,
    }
    head = f"{space.dimensions} dimensions, {kind}, {space.model} ({space.weights})\n"
    answer(shape, Text(head + json.dumps(numbers)), as_json=as_json)


def _verdict(found: Verification) -> RenderableType:
    """One sentence, and what the label was compared with."""
    name, probability = found["class_name"], found["probability"]
    if found["is_match"]:
        head = Text.assemble((f"{name}: yes", "green"), f", probability {probability:.3f}")
    else:
        head = Text.assemble((f"{name}: no", "red"), f", probability {probability:.3f}")
        if found["best"]["label"] == name:
            head.append(f", below the threshold of {found['threshold']:g}")
        else:
            best = found["best"]
            head.append(f"; rather {best['label']} ({best['probability']:.3f})")
    head.append(f"; confidence {found['confidence']}, similarity {found['similarity']:.3f}")
    others = Group(Text("compared with"), _ranking(found["alternatives"][:MOST_ALTERNATIVES]))
    left = len(found["alternatives"]) - MOST_ALTERNATIVES
    more = [Text(f"and {left} less probable alternatives")] if left > 0 else []
    return _note(Group(head, Text(), others, *more), calibrated=found["calibrated"])


def _ranking(ranked: Sequence[Ranked]) -> RenderableType:
    table = Table("rank", "label", "probability", "similarity", box=None, pad_edge=False)
    for place, one in enumerate(ranked, start=1):
        table.add_row(
            str(place),
            escape(one["label"]),
            f"{one['probability']:.3f}",
            f"{one['similarity']:.3f}",
        )
    return table


def _note(table: RenderableType, *, calibrated: bool) -> RenderableType:
    return table if calibrated else Group(table, Text(UNCALIBRATED, style="dim"))

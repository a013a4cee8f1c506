"""`scenebook models`: what is configured and cached, whether it is whole, its export, its speed."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Literal

import typer
from rich.text import Text

from scenebook import model_speed
from scenebook.cli import model_checks, model_tables
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.commands import AsJson, app, quiet_settings
from scenebook.cli.output import answer, notes
from scenebook.encoders import exports
from scenebook.encoders.exports import Export
from scenebook.encoders.inference import Kind
from scenebook.errors import ExportRefused, ModelUnavailable, ScenebookError
from scenebook.model_files import KINDS, ModelFiles, Origin, model_files
from scenebook.settings import Settings

models = typer.Typer(
    help="The models in use: files, checks, exports and speed.", no_args_is_help=True
)
app.add_typer(models, name="models")

WhichKind = Annotated[
    Kind | None, typer.Argument(metavar="clip|text|speech", help="Default: each that is in use.")
]


@models.command(name="list")
def list_command(as_json: AsJson = False) -> None:
    """What is configured, where its files are, and which runtime loads it; loads nothing."""
    settings = quiet_settings()
    shapes = [model_tables.model_shape(settings, model_files(settings, kind)) for kind in KINDS]
    answer(shapes, model_tables.models_table(shapes), as_json=as_json)


@models.command()
def pull(kind: WhichKind = None, as_json: AsJson = False) -> None:
    """Download what the settings name, and record its checksums."""
    settings = quiet_settings("ERROR")
    shapes, failures = [], []
    for one in _wanted(settings, kind):
        model = model_files(settings, one)
        if model.origin in (Origin.FAKE, Origin.REMOTE):
            notes().print(f"{one}: {model.name} has no files to pull.", markup=False)
            continue
        before = model.cached
        try:
            with notes().status(f"Loading {one}: {model.name}…"):
                pulled = model_checks.pull(settings, one)
        except ModelUnavailable as error:
            failures.append(_not_pulled(model, error))
            continue
        happened = "pulled" if not before else "was here and loads; its checksums are recorded"
        if before and model.origin is not Origin.HUB:
            happened = "is on this machine: nothing to pull; it loads, and is recorded"
        notes().print(f"{one}: {model.name} {happened}.", markup=False)
        shapes.append(model_tables.model_shape(settings, pulled))
    answer(shapes, model_tables.models_table(shapes) if shapes else Text(), as_json=as_json)
    if failures:
        raise ModelUnavailable("\n".join(failures))


def _not_pulled(model: ModelFiles, error: ScenebookError) -> str:
    """One message; where a hub was needed, with what works without one."""
    if model.origin is not Origin.HUB:
        return f"{model.kind}: {error}"
    without = {
        "clip": "CLIP_MODEL_NAME=figures needs no hub.",
        "text": "TEXT_EMBEDDING_MODEL=fast needs no hub.",
        "speech": "A subtitle file beside the video needs no model.",
    }
    return (
        f"{model.kind}: {model.name} was not pulled. {error} "
        f"Check the network; HF_ENDPOINT names another hub. {without[model.kind]}"
    )


@models.command()
def verify(kind: WhichKind = None, as_json: AsJson = False) -> None:
    """Load each model, and check its files, its vectors and its export; exit 1 if one fails."""
    settings = quiet_settings("ERROR")
    found: list[Check] = []
    with (
        closing(model_checks.Verification(settings)) as verification,
        notes().status("Loading models…"),
    ):
        for one in _wanted(settings, kind):
            found += verification.check(one)
    healthy = all(check.verdict is not Verdict.FAIL for check in found)
    checks = [
        {
            "name": check.name,
            "verdict": check.verdict,
            "detail": check.detail,
            "remedy": check.remedy,
        }
        for check in found
    ]
    answer({"ok": healthy, "checks": checks}, model_tables.findings_list(found), as_json=as_json)
    if not healthy:
        raise typer.Exit(1)


@models.command()
def export(
    kind: Annotated[
        Literal["clip", "text", "all"],
        typer.Argument(metavar="clip|text|all", help="Default: each that is in use."),
    ] = "all",
    precision: Annotated[
        Literal["auto", "int8", "fp32"],
        typer.Option(help="auto: int8, or fp32 where int8 is not exact enough."),
    ] = "auto",
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Keep an accepted export of the same model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export models to ONNX, compare them with torch, and keep those that say the same."""
    settings = quiet_settings("ERROR")
    kinds: list[Literal["clip", "text"]] = ["clip", "text"] if kind == "all" else [kind]
    shapes, refusals = [], []
    for one in kinds:
        model = model_files(settings, one)
        if kind == "all" and not model.used:
            notes().print(f"{one}: not in use.", markup=False)
            continue
        made = model_checks.accepted_export(settings, model) if if_missing else None
        if made is None or made.damaged():
            try:
                made = _exported(settings, one, precision)
            except ExportRefused as error:
                refusals.append(f"{one}: {error}")
                continue
        shapes.append({"kind": one, "model": made.model, **model_tables.export_shape(made)})
    answer(shapes, model_tables.exports_table(shapes), as_json=as_json)
    if refusals:
        raise ExportRefused("\n".join(refusals))


def _exported(
    settings: Settings, kind: Literal["clip", "text"], precision: exports.Wanted
) -> Export:
    console = notes()
    return exports.export_model(
        settings,
        kind,
        precision=precision,
        on_step=lambda step: console.print(f"{kind}: {step}", markup=False),
    )


def _wanted(settings: Settings, kind: Kind | None) -> list[Kind]:
    """The kind that was named, or all that the settings switch on."""
    if kind is not None:
        return [kind]
    return [one for one in KINDS if model_files(settings, one).used]


@models.command()
def benchmark(
    batch: Annotated[
        list[int] | None, typer.Option(min=1, max=64, help="Pictures a call. Default: 1, 8, 32.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Measurements of each figure.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure the models on this machine: torch and ONNX by turns, and the memory they take."""
    settings = quiet_settings("ERROR")
    kinds = [one for one in _wanted(settings, None) if one != "speech"]
    if not kinds:
        raise ModelUnavailable("No local model is in use. Set CLIP_ENABLED=true to measure CLIP.")
    shapes = []
    with notes().status("Loading models…") as status:
        for kind in kinds:
            measured = model_speed.measure(
                _contestants(settings, kind),
                kinds=[kind],
                batches=batch or [1, 8, 32],
                rounds=rounds,
                on_step=lambda step: status.update(f"Measuring {step}…"),
            )
            shapes.append(model_tables.speed_shape(kind, measured))
    answer(shapes, model_tables.speed_tables(shapes), as_json=as_json)


def _contestants(settings: Settings, kind: Kind) -> dict[str, Settings]:
    """torch where it is installed, ONNX where the model has an accepted export."""
    found: dict[str, Settings] = {}
    if model_checks.runs_in_torch(kind):
        found["torch"] = settings.model_copy(update={"encoder_runtime": "torch"})
    if model_checks.accepted_export(settings, model_files(settings, kind)) is not None:
        found["onnx"] = settings.model_copy(update={"encoder_runtime": "onnx"})
    else:
        notes().print(f"{kind} has no export to measure. Run `scenebook models export {kind}`.")
    if not found:
        raise ModelUnavailable(f"Neither torch nor an export of the {kind} model is here.")
    return found

"""The shapes and tables of `scenebook models`: for `--json`, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenebook.cli.checks import Check
from scenebook.cli.doctor import STYLES
from scenebook.cli.model_checks import accepted_export, runs_in_torch
from scenebook.encoders.exports import Export, exports_dir
from scenebook.model_files import ModelFiles, Origin
from scenebook.model_records import checksums_of, recorded
from scenebook.model_speed import Measured
from scenebook.settings import Settings


def model_shape(settings: Settings, model: ModelFiles) -> dict[str, Any]:
    export = accepted_export(settings, model)
    checksums, main = checksums_of(model), model.weights_file()
    base = model.place.parent if model.place and model.place.is_file() else model.place
    name = str(main.relative_to(base)) if main is not None and base is not None else None
    before = recorded(exports_dir(settings), model)
    known = before.space if before is not None else {}
    if export is not None:
        known = {"revision": export.revision, "dimensions": export.dimensions}
    named = model.named()
    return {
        "kind": model.kind,
        "used": model.used,
        "name": model.name,
        "weights": model.weights,
        "origin": model.origin,
        "repository": model.repository,
        "cached": model.cached,
        "place": str(model.place) if model.place is not None else None,
        "bytes": sum(file.stat().st_size for file in model.files()),
        "sha256": checksums.get(name) if name is not None else None,
        "files": checksums,
        "space": {
            "model": named[0] if named else None,
            "weights": named[1] if named else None,
            "revision": known.get("revision"),
            "dimensions": known.get("dimensions"),
        },
        "export": export_shape(export) if export is not None else None,
        "runtime": _runtime(settings, model, export),
    }


def export_shape(export: Export) -> dict[str, Any]:
    return {
        "precision": export.precision,
        "accepted": export.accepted,
        "made_at": export.made_at,
        "directory": str(export.directory),
        "bytes": export.size_bytes,
        "figures": dict(export.figures),
    }


def _runtime(settings: Settings, model: ModelFiles, export: Export | None) -> str | None:
    """What will load the model; None where nothing can, or nothing has to."""
    if model.origin in (Origin.FAKE, Origin.REMOTE):
        return None
    if model.kind == "speech":
        return "ctranslate2"
    if export is not None and settings.encoder_runtime != "torch":
        return "onnx"
    return "torch" if runs_in_torch(model.kind) and settings.encoder_runtime != "onnx" else None


def models_table(shapes: list[dict[str, Any]]) -> RenderableType:
    table = Table(
        "model", "configured", "cached", "size", "sha256", "space", "export", "runtime",
        box=None, pad_edge=False,
    )  # fmt: skip
    for one in shapes:
        space, export = one["space"], one["export"]
        dimensions = f"{space['dimensions']}-d, " if space["dimensions"] else ""
        table.add_row(
            one["kind"] if one["used"] else Text(f"{one['kind']} (off)", "dim"),
            escape(" ".join(filter(None, (one["name"], one["weights"])))),
            "yes" if one["cached"] else _absent(one),
            _size(one["bytes"]),
            (one["sha256"] or "–")[:16],
            escape(f"{dimensions}{space['revision'] or '–'}"),
            f"{export['precision']}, {_size(export['bytes'])}" if export else "–",
            one["runtime"] or "–",
        )
    places = [Text(f"{one['kind']}: {one['place']}", "dim") for one in shapes if one["place"]]
    return Group(table, *places)


def _absent(one: Mapping[str, Any]) -> str:
    return "–" if one["origin"] in (Origin.FAKE, Origin.REMOTE) else "no"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count else "–"


def findings_list(found: list[Check]) -> RenderableType:
    lines = Text()
    for check in found:
        lines.append(f"{check.verdict:<5}", STYLES[check.verdict])
        lines.append(check.name, "bold").append(f": {check.detail}\n")
        if check.remedy:
            lines.append(f"     → {check.remedy}\n")
    lines.rstrip()
    return lines


def exports_table(shapes: list[dict[str, Any]]) -> RenderableType:
    """Exports with what the comparison with torch found; its other figures are in the JSON."""
    table = Table(
        "model", "precision", "size", "lowest cosine to torch", "recall@1 in torch, exported",
        box=None, pad_edge=False,
    )  # fmt: skip
    for one in shapes:
        figures = one["figures"]
        cosines = [value for name, value in figures.items() if name.endswith("cosine_min")]
        recalls = [figures.get(f"{name}_recall_at_1") for name in ("torch", "export")]
        table.add_row(
            f"{one['kind']} {one['model']}",
            one["precision"],
            _size(one["bytes"]),
            f"{min(cosines):.4f}" if cosines else "–",
            ", ".join("–" if recall is None else f"{recall:.3f}" for recall in recalls),
        )
    return table if shapes else Text()


def speed_shape(kind: str, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """The figures of each runtime, and how much faster than torch ONNX is where both ran."""
    by_runtime = {name: _figures(one) for name, one in measured.items()}
    ratios = {}
    if {"torch", "onnx"} <= by_runtime.keys():
        torch, onnx = by_runtime["torch"], by_runtime["onnx"]
        ratios = {name: round(onnx[name] / torch[name], 3) for name in torch if torch[name]}
    spread = max(one.spread for one in measured.values())
    return {"kind": kind, "runtimes": by_runtime, "ratios": ratios, "spread": round(spread, 3)}


def _figures(one: Measured) -> dict[str, float]:
    figures = {f"images/s, batch {batch}": rate for batch, rate in one.images_per_s.items()}
    if one.query_ms is not None:
        figures["queries/s"] = 1000 / one.query_ms
    if one.texts_per_s is not None:
        figures["texts/s"] = one.texts_per_s
    if one.peak_mb is not None:
        figures["peak memory, MiB"] = one.peak_mb
    return {name: round(figure, 2) for name, figure in figures.items()}


def speed_tables(shapes: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A table for each kind of model."""
    parts: list[RenderableType] = []
    for shape in shapes:
        runtimes = shape["runtimes"]
        table = Table(shape["kind"], *runtimes, "onnx : torch", box=None, pad_edge=False)
        for name in next(iter(runtimes.values())):
            ratio = shape["ratios"].get(name)
            figures = [f"{figures[name]:.1f}" for figures in runtimes.values()]
            table.add_row(name, *figures, "–" if ratio is None else f"{ratio:.2f}")
        noise = f"medians; single measurements differed from them by up to {shape['spread']:.0%}"
        parts += [table, Text(noise, "dim"), Text()]
    return Group(*parts[:-1])

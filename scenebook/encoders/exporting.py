"""The export child's `__main__`: a torch model to ONNX files that answer as it does, or none."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scenebook.child_side import serve
from scenebook.encoders import gate
from scenebook.encoders.exports import (
    DESCRIPTION,
    FORMAT,
    TIMEOUT_S,
    UNFINISHED,
    Export,
    Precision,
    all_exports,
    checksum,
)
from scenebook.encoders.spaces import LoadedModel
from scenebook.errors import ConfigurationError, ExportRefused, ModelUnavailable

Message = dict[str, Any]
Step = Callable[[str], None]

QUANTISED = ("MatMul", "Gemm", "Attention")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How weights are written. but_narrowing keeps layers with fewer outputs than inputs in fp32.

    Those read what comes out of an activation, whose outliers one scale of 256 steps cannot hold:
    they alone cost all-MiniLM-L6-v2 most of its lowest cosine.
    """

    name: str
    precision: Precision
    but_narrowing: bool = False


# The quickest first.
RECIPES = (
    Recipe("int8", "int8"),
    Recipe("int8 but narrowing layers", "int8", but_narrowing=True),
    Recipe("fp32", "fp32"),
)


@dataclass(frozen=True, slots=True)
class Original:
    """A torch model whose graphs were written, and how to ask it and an export of it."""

    loaded: LoadedModel
    graphs: Sequence[str]
    files: Sequence[str]
    details: Message
    answers: Callable[[], gate.Encoded]
    answers_of: Callable[[Export], gate.Encoded]


def export(request: Message, progress: Callable[[Message], None]) -> Message:
    """Write, compare and keep one export; `directory` is where it is. Raises ExportRefused."""
    from scenebook.encoders.originals import ORIGINALS

    def step(words: str) -> None:
        progress({"step": words})

    root = Path(request["root"])
    _prepare(root)
    kind = request["kind"]
    with tempfile.TemporaryDirectory(dir=root, prefix=UNFINISHED) as folder:
        traced = Path(folder) / "traced"
        traced.mkdir()
        step("Loading the model in torch")
        original = ORIGINALS[kind](request["options"], traced, step)
        step("Asking torch the gate's questions")
        reference = original.answers()
        refused: dict[str, str] = {}
        for recipe in RECIPES:
            if request["precision"] not in ("auto", recipe.precision):
                continue
            step(f"Writing the export as {recipe.name} and comparing it with torch")
            candidate = Path(folder) / recipe.name.replace(" ", "-")
            try:
                found = _candidate(original, kind, recipe, traced, candidate)
                figures = _passed(reference, original, found)
            except ExportRefused as error:
                refused[recipe.name] = str(error)
                step(f"Refused: {error}")
                continue
            details = {**found.details, "recipe": recipe.name, "refused": refused}
            found = replace(found, accepted=True, figures=figures, details=details)
            return {"directory": str(_keep(found, root))}
    reasons = " ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise ExportRefused(f"The export of {original.loaded.model} is refused. {reasons}")


def _passed(reference: gate.Encoded, original: Original, candidate: Export) -> dict[str, float]:
    """The figures of a candidate that answers as torch does. Raises ExportRefused."""
    try:
        figures = gate.compared(reference, original.answers_of(candidate))
    except Exception as error:  # the door to a graph that ran in torch, and not in ONNX Runtime
        raise ExportRefused(f"It cannot be run ({type(error).__name__}: {error}).") from error
    gate.judge(figures)
    return figures


def _prepare(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        # What a killed export left; one that is being made is younger than its time limit.
        for directory in root.glob(f"{UNFINISHED}*"):
            if directory.stat().st_mtime < time.time() - TIMEOUT_S:
                shutil.rmtree(directory, ignore_errors=True)
        tempfile.TemporaryDirectory(dir=root, prefix=UNFINISHED).cleanup()
    except OSError as error:
        raise ConfigurationError(
            f"Exports cannot be written to {root} ({error.strerror}). Set ENCODER_EXPORTS_DIR."
        ) from error


def _candidate(
    original: Original, kind: Any, recipe: Recipe, traced: Path, directory: Path
) -> Export:
    directory.mkdir()
    for name in original.files:
        shutil.copy(traced / name, directory / name)
    for name in original.graphs:
        if recipe.precision == "int8":
            _quantise(traced / name, directory / name, but_narrowing=recipe.but_narrowing)
        else:
            shutil.copy(traced / name, directory / name)
        _weights_apart(directory / name)
    loaded = original.loaded
    names = sorted(file.name for file in directory.iterdir())
    return Export(
        directory=directory,
        kind=kind,
        model=loaded.model,
        weights=loaded.weights,
        revision=loaded.revision,
        dimensions=loaded.dimensions,
        precision=recipe.precision,
        accepted=False,
        made_at=datetime.now(UTC).isoformat(),
        details=original.details,
        checksums={name: checksum(directory / name) for name in names},
    )


def _quantise(source: Path, target: Path, *, but_narrowing: bool) -> None:
    """Weights as signed bytes, one scale a column; activations are measured as they come."""
    try:
        from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic
    except ImportError as error:
        raise ModelUnavailable(
            f"Exporting needs the packages of the extra 'export' ({error}): pip install "
            "'scenebook[export]'."
        ) from error
    prepared = source.with_suffix(".prepared")
    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            str(prepared),
            str(target),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_narrowing(prepared) if but_narrowing else [],
        )
    except Exception as error:  # the door to ONNX Runtime's tools
        raise ExportRefused(
            f"{source.stem} cannot be quantised ({type(error).__name__}: {error}). Try "
            "the precision fp32."
        ) from error
    finally:
        prepared.unlink(missing_ok=True)


def _weights_apart(path: Path) -> None:
    """Move a graph's weights to a file beside it, which ONNX Runtime maps instead of reading.

    ViT-B-32 in int8 takes 200 MB of memory so, and 420 MB from one file.
    """
    import onnx

    model = onnx.load(str(path))
    path.unlink()
    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
    )
    path.with_name(f"{path.name}.data").chmod(0o644)  # written for its owner alone


def _narrowing(path: Path) -> list[str]:
    """Names of the layers of a graph whose weights have fewer outputs than inputs."""
    import onnx

    graph = onnx.load(str(path)).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found = []
    for node in graph.node:
        shape = shapes.get(node.input[1], ()) if node.op_type in ("MatMul", "Gemm") else ()
        turned = any(one.name == "transB" and one.i for one in node.attribute)
        inputs, outputs = (shape[::-1] if turned else shape) if len(shape) == 2 else (0, 0)
        if inputs > outputs:
            found.append(node.name)
    return found


def _keep(found: Export, root: Path) -> Path:
    """Move an accepted export to its place, then remove those that it replaces."""
    earlier = [
        one.directory
        for one in all_exports(root)
        if (one.kind, one.model, one.weights) == (found.kind, found.model, found.weights)
    ]
    stamp = re.sub(r"\D", "", found.made_at)[:20]
    name = re.sub(r"[^\w.-]+", "-", f"{found.kind}-{found.model}-{found.precision}-{stamp}")
    fields = {**asdict(found), "format": FORMAT}
    del fields["directory"]
    (found.directory / DESCRIPTION).write_text(json.dumps(fields, indent=2), encoding="utf-8")
    target = found.directory.rename(root / name)
    for directory in earlier:
        with suppress(OSError):
            shutil.rmtree(directory)
    return target


def main() -> None:
    """Serve until the parent closes our input."""
    serve({"export": export})


if __name__ == "__main__":
    main()

"""Which library runs a model in the inference child: ONNX Runtime if exported, or torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from scenebook.encoders.checkpoints import clip_source
from scenebook.encoders.exports import Export, find_export
from scenebook.encoders.text import find_text_export
from scenebook.errors import ModelUnavailable

log = logging.getLogger(__name__)

Model = TypeVar("Model")


def load_clip(*, runtime: str, exports_dir: str, **options: Any) -> Any:
    """CLIP under ENCODER_RUNTIME: an OnnxClip or a ClipModel. Raises ModelUnavailable."""
    source = clip_source(options["model_name"], options["pretrained"])
    export = None
    if runtime != "torch":
        export = find_export(Path(exports_dir), "clip", source.model, source.weights)

    def exported(export: Export) -> Any:
        from scenebook.encoders.onnx_clip import OnnxClip

        names = ("device", "max_image_size", "fit", "threads")
        known = {name: options[name] for name in names}
        return OnnxClip(export, calibration=source.calibration, **known)

    def original() -> Any:
        from scenebook.encoders.clip import ClipModel

        return ClipModel(**options)

    return _chosen(runtime, "clip", export, exported, original)


def load_text(*, runtime: str, exports_dir: str, name: str, threads: int) -> Any:
    """The text model under ENCODER_RUNTIME: an OnnxText or a TextModel. Raises ModelUnavailable."""
    export = None
    if runtime != "torch":
        export = find_text_export(Path(exports_dir), name)

    def exported(export: Export) -> Any:
        from scenebook.encoders.onnx_text import OnnxText

        return OnnxText(export, threads=threads)

    def original() -> Any:
        from scenebook.encoders.text import load_text_model

        return load_text_model(name=name, threads=threads)

    return _chosen(runtime, "text", export, exported, original)


def _chosen(
    runtime: str,
    kind: str,
    export: Export | None,
    exported: Callable[[Export], Model],
    original: Callable[[], Model],
) -> Model:
    if export is None:
        if runtime == "onnx":
            raise ModelUnavailable(
                f"ENCODER_RUNTIME=onnx, but there is no accepted export of the configured {kind} "
                "model. Make one with `scenebook models export`, or set ENCODER_RUNTIME=auto."
            )
        return original()
    try:
        _require_whole(export)
        return exported(export)
    except ModelUnavailable as error:
        if runtime == "onnx":
            raise
        log.warning("The %s model runs in torch: %s", kind, error)
        return original()


def _require_whole(export: Export) -> None:
    """Raise ModelUnavailable for files that changed: a graph with other weights may still load."""
    if damaged := export.damaged():
        raise ModelUnavailable(
            f"The export {export.directory} is damaged ({', '.join(damaged)}). Make it again with "
            "`scenebook models export`, or set ENCODER_RUNTIME=torch."
        )

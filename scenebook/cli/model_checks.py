"""Is a model whole, does it answer with proper vectors, and does its export say the same?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenebook.cli.checks import Check, Verdict
from scenebook.encoders import golden
from scenebook.encoders.client import Encoders
from scenebook.encoders.exports import Export, exports_dir, find_export
from scenebook.encoders.inference import InferenceChild, Kind
from scenebook.encoders.spaces import GOLDEN, LoadedModel
from scenebook.encoders.text import find_text_export
from scenebook.errors import ModelUnavailable, ScenebookError
from scenebook.hub_cache import why_unreachable
from scenebook.model import Channel, EmbeddingSpace
from scenebook.model_files import ModelFiles, Origin, damage, model_files
from scenebook.model_records import ModelRecord, checksums_of, record, recorded
from scenebook.model_speed import SENTENCES, picture
from scenebook.settings import Settings

Runtime = Literal["torch", "onnx"]
PICTURES = 4
# What an accepted export must keep to, for every picture and text.
LEAST_COSINE = 0.99


def runs_in_torch(kind: Kind) -> bool:
    """Whether the packages that load a kind of model in torch are installed."""
    package = {"clip": "open_clip", "text": "sentence_transformers"}.get(kind)
    return package is not None and importlib.util.find_spec(package) is not None


def accepted_export(settings: Settings, model: ModelFiles) -> Export | None:
    """The export that the runtime would use for this model; reads the files of a local model."""
    if model.origin in (Origin.FAKE, Origin.REMOTE) or model.kind == "speech":
        return None
    root = exports_dir(settings)
    if model.kind == "text":
        return find_text_export(root, model.name)
    names = model.named()
    return find_export(root, "clip", *names) if names is not None else None


class Verification:
    """Verifies models of one configuration; loads each runtime's models in one child."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._encoders: dict[Runtime, Encoders] = {}
        self._root = exports_dir(settings)
        self._spaces: dict[Kind, dict[str, str | int]] = {}

    def close(self) -> None:
        """End the children."""
        self._stack.close()

    def check(self, kind: Kind) -> list[Check]:
        """Everything about one kind of model. One that passes is recorded, if it was not before."""
        model = model_files(self._settings, kind)
        if model.origin in (Origin.FAKE, Origin.REMOTE):
            return [Check(kind, Verdict.OFF, f"{model.name}: no files on this machine")]
        export = accepted_export(self._settings, model)
        broken = self._broken(model, export)
        if broken is not None:
            return [broken]
        checksums, before = checksums_of(model), recorded(self._root, model)
        loaded = [self._speech(model)] if kind == "speech" else list(self._vectors(model, export))
        if before is None and all(one.verdict is not Verdict.FAIL for one in loaded):
            record(self._root, model, checksums, self._spaces.get(kind, {}))
        return [_unchanged(model, checksums, before), *loaded] if checksums else loaded

    def _broken(self, model: ModelFiles, export: Export | None) -> Check | None:
        """Why a model need not be loaded to know that it cannot be."""
        if model.repository is not None and not model.cached:
            # An export runs without the weights that it was made from.
            return self._absent(model) if export is None else None
        if model.place is not None and not model.cached:
            detail = f"{model.place} holds no weights"
            return Check(f"{model.kind} files", Verdict.FAIL, detail, _again(model))
        damaged = [f"{file.name} {why}" for file in model.files() if (why := damage(file))]
        if damaged:
            return Check(f"{model.kind} files", Verdict.FAIL, ", ".join(damaged), _again(model))
        return None

    def _absent(self, model: ModelFiles) -> Check:
        """Speech under `auto` can do without its model: the API, or subtitles, take its place."""
        optional = model.kind == "speech" and self._settings.transcription_provider == "auto"
        return Check(
            model.kind,
            Verdict.WARN if optional else Verdict.FAIL,
            f"{model.name} is not on this machine; it is downloaded when it is first needed",
            f"Run `scenebook models pull {model.kind}`.",
        )

    def _vectors(self, model: ModelFiles, export: Export | None) -> Iterator[Check]:
        """The model in each runtime, its golden vectors, and its export beside torch."""
        kind, vectors = model.kind, dict[Runtime, NDArray[np.float32]]()
        for runtime in self._runtimes(model, export):
            try:
                space, vectors[runtime] = self._sample(kind, runtime)
            except ScenebookError as error:
                yield Check(f"{kind} by {runtime}", Verdict.FAIL, str(error), _again(model))
                continue
            self._spaces[kind] = {"revision": space.revision, "dimensions": space.dimensions}
            found = f"{len(vectors[runtime])} vectors of norm 1, {space.dimensions} dimensions"
            yield Check(f"{kind} by {runtime}", Verdict.OK, f"{found}, {space.revision}")
        if kind == "clip" and model.place is not None and vectors:
            yield from self._golden(model.place, next(iter(vectors)))
        if export is not None:
            yield from self._export(export, vectors)

    def _runtimes(self, model: ModelFiles, export: Export | None) -> list[Runtime]:
        absent = model.repository is not None and not model.cached
        torch = runs_in_torch(model.kind) and self._settings.encoder_runtime != "onnx"
        runtimes: list[Runtime] = ["torch"] if torch and not absent else []
        # Without torch, a missing export is what loading explains best.
        return [*runtimes, "onnx"] if export is not None or not runtimes else runtimes

    def _by(self, runtime: Runtime) -> Encoders:
        if runtime not in self._encoders:
            changes = {"encoder_runtime": runtime, "clip_enabled": True, "clip_timeout_s": 60.0}
            encoders = Encoders(self._settings.model_copy(update=changes))
            self._encoders[runtime] = self._stack.enter_context(closing(encoders))
        return self._encoders[runtime]

    def _sample(self, kind: Kind, runtime: Runtime) -> tuple[EmbeddingSpace, NDArray[np.float32]]:
        """The model's space, and the vectors of built-in pictures and texts."""
        encoders = self._by(runtime)
        if kind == "text":
            return encoders.text_space(Channel.TRANSCRIPT), np.stack(
                encoders.encode_texts(SENTENCES)
            )
        space = encoders.image_space()
        answers = encoders.encode_images([picture(seed=seed) for seed in range(PICTURES)])
        vectors = [one.vector for one in answers if one.vector is not None]
        if len(vectors) < PICTURES:
            raise ScenebookError(next(one.error for one in answers if one.vector is None))
        return space, np.stack([*vectors, *encoders.encode_query_image_text(SENTENCES)])

    def _golden(self, place: Path, runtime: Runtime) -> Iterator[Check]:
        """What the checkpoint gave when it was made, where it brings such vectors along."""
        try:
            stored = golden.read(place)
        except (OSError, ValueError, LookupError, TypeError) as error:
            yield Check("clip golden vectors", Verdict.FAIL, f"{GOLDEN} is damaged: {error!r}")
            return
        if stored is None:
            return
        cosine = golden.least_cosine(stored, self._by(runtime))
        least = golden.LEAST_COSINE if runtime == "torch" else LEAST_COSINE
        verdict = Verdict.OK if cosine >= least else Verdict.FAIL
        detail = f"cosine by {runtime} at least {cosine:.4f}; promised is {least}"
        yield Check("clip golden vectors", verdict, detail)

    def _export(
        self, export: Export, vectors: Mapping[Runtime, NDArray[np.float32]]
    ) -> Iterator[Check]:
        name = f"{export.kind} export"
        again = f"Run `scenebook models export {export.kind}`."
        damaged = export.damaged()
        if damaged:
            yield Check(name, Verdict.FAIL, f"damaged: {', '.join(damaged)}", again)
        elif len(vectors) == 2:
            cosine = float((vectors["torch"] * vectors["onnx"]).sum(axis=1).min())
            verdict = Verdict.OK if cosine >= LEAST_COSINE else Verdict.FAIL
            detail = f"{export.precision}, cosine to torch at least {cosine:.4f}"
            yield Check(name, verdict, detail, None if verdict is Verdict.OK else again)

    def _speech(self, model: ModelFiles) -> Check:
        with closing(InferenceChild(self._settings)) as inference:
            try:
                inference.load("speech")
            except ScenebookError as error:
                return Check("speech", Verdict.FAIL, str(error), _again(model))
        return Check("speech", Verdict.OK, f"{model.name} is loaded")


def pull(settings: Settings, kind: Kind) -> ModelFiles:
    """Load the model a kind names, which downloads what is missing; its files.

    The checksums are recorded for later verifications. Raises ModelUnavailable where the weights
    cannot be fetched or loaded: at once, if a hub is needed and none answers.
    """
    before = model_files(settings, kind)
    if before.repository is not None and not before.cached and (why := why_unreachable()):
        raise ModelUnavailable(f"{before.repository} cannot be downloaded: {why}.")
    changes: dict[str, object] = {"clip_enabled": True}
    if runs_in_torch(kind):
        changes["encoder_runtime"] = "torch"  # an export would be loaded without the weights
    with closing(InferenceChild(settings.model_copy(update=changes))) as inference:
        loaded = inference.load(kind)
    model = model_files(settings, kind)
    record(exports_dir(settings), model, checksums_of(model), _space(loaded))
    return model


def _space(loaded: LoadedModel | None) -> dict[str, str | int]:
    if loaded is None:
        return {}
    return {"revision": loaded.revision, "dimensions": loaded.dimensions}


def _unchanged(
    model: ModelFiles, checksums: Mapping[str, str], before: ModelRecord | None
) -> Check:
    """Whether the files are those that were recorded under this configuration."""
    name, changed = f"{model.kind} files", before.differences(checksums) if before else []
    if before is None:
        return Check(name, Verdict.OK, f"{len(checksums)} files are whole")
    if not changed:
        detail = f"{len(checksums)} files are whole, and as on {before.recorded_at[:10]}"
        return Check(name, Verdict.OK, detail)
    return Check(
        name,
        Verdict.FAIL,
        f"changed since {before.recorded_at[:10]} under the same name: {', '.join(changed)}",
        f"If that is meant, run `scenebook models pull {model.kind}`; else fetch them again.",
    )


def _again(model: ModelFiles) -> str:
    if model.origin is Origin.LOCAL:
        return f"Copy {model.place} again, or name another model."
    if model.origin is Origin.HUB:
        return f"Delete {model.place or 'its cache'} and run `scenebook models pull {model.kind}`."
    return "Install Scenebook and its packages again: make venv."

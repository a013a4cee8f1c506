"""Exported models on disk, read without torch or ONNX; making one is a child process's work."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scenebook.children import Child
from scenebook.errors import ConfigurationError, DeadlineExceeded, ExportRefused
from scenebook.settings import Settings

log = logging.getLogger(__name__)

Kind = Literal["clip", "text"]
Precision = Literal["int8", "fp32"]
Wanted = Literal["auto", "int8", "fp32"]

DESCRIPTION = "export.json"
# Names of directories in which an export is being made begin like this.
UNFINISHED = ".making-"
# Raised when files of older exports can no longer be loaded.
FORMAT = 1
CHILD_MODULE = "scenebook.encoders.exporting"
# Downloading weights, tracing both towers and comparing them; ViT-L-14 takes minutes.
TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Export:
    """An exported model: the embedding space it answers for, how exactly, and its files.

    weights is as LoadedModel has it: a tag, or name and content of a local checkpoint. revision is
    the preprocessing it was compared under; a CLIP export serves any CLIP_FIT and
    CLIP_MAX_IMAGE_SIZE, since the preprocessing is not part of its graph. figures are what the
    comparison with torch measured. details is what the loader needs besides the files.
    """

    directory: Path
    kind: Kind
    model: str
    weights: str
    revision: str
    dimensions: int
    precision: Precision
    accepted: bool
    made_at: str
    figures: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of its files on disk."""
        return sum(file.stat().st_size for file in self.directory.iterdir() if file.is_file())

    def damaged(self) -> list[str]:
        """Names of files that are missing or not as they were written; reads them whole."""
        return [
            name
            for name, known in self.checksums.items()
            if checksum(self.directory / name) != known
        ]


def exports_dir(settings: Settings) -> Path:
    """ENCODER_EXPORTS_DIR, else a directory beside the installed packages."""
    if settings.encoder_exports_dir is not None:
        return settings.encoder_exports_dir.resolve()
    return Path(sys.prefix) / "share" / "scenebook" / "exports"


def all_exports(root: Path) -> list[Export]:
    """Every export below root, the newest first; what is no whole export is left out."""
    if not root.is_dir():
        return []
    found = (read_export(one) for one in root.iterdir() if not one.name.startswith(UNFINISHED))
    whole = [export for export in found if export is not None]
    return sorted(whole, key=lambda export: export.made_at, reverse=True)


def find_export(
    root: Path, kind: Kind, model: str, weights: str, revision: str | None = None
) -> Export | None:
    """The accepted export of exactly this model and these weights, or None.

    revision, where given, must be the one it was compared under.
    """
    for export in all_exports(root):
        same = (export.kind, export.model, export.weights) == (kind, model, weights)
        if same and export.accepted and revision in (None, export.revision):
            return export
    return None


def read_export(directory: Path) -> Export | None:
    """The export in a directory; None without one, or, with a warning, if it cannot be used."""
    try:
        fields = json.loads((directory / DESCRIPTION).read_text())
        if fields.pop("format") != FORMAT:
            raise ValueError("another version wrote it")
        export = Export(directory=directory, **fields)
        absent = [name for name in export.checksums if not (directory / name).is_file()]
        if absent:
            raise ValueError(f"without {', '.join(absent)}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is not used (%r). `scenebook models export` makes one.", directory, error)
        return None
    return export


def export_model(
    settings: Settings,
    kind: Kind,
    *,
    precision: Wanted = "auto",
    on_step: Callable[[str], None] = lambda step: None,
) -> Export:
    """Export the configured model of a kind, compare it with torch, and keep it if it is the same.

    precision "auto" tries int8, then fp32. on_step is told in words what is being done. torch runs
    in a child of its own, which is gone afterwards. A refused export leaves nothing behind and an
    earlier one in place. Raises ExportRefused (with the figure, and what it should have been),
    ModelUnavailable (the model or a package is missing), DeadlineExceeded and ChildDied.
    """
    from scenebook.encoders.inference import ENVIRONMENT, cores, model_options

    if kind == "text" and settings.text_embedding_provider != "local":
        raise ConfigurationError(
            f"TEXT_EMBEDDING_PROVIDER={settings.text_embedding_provider} has no local model that "
            "could be exported; set it to 'local'."
        )
    threads = settings.clip_cpu_threads or cores()
    child = Child(
        CHILD_MODULE, name="export", environment=ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}
    )
    message = {
        "op": "export",
        "kind": kind,
        "precision": precision,
        "root": str(exports_dir(settings)),
        "options": model_options(settings, kind, threads=threads),
    }
    try:
        reply = child.request(
            message, timeout_s=TIMEOUT_S, on_progress=lambda progress: on_step(progress["step"])
        )
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"The export took more than {TIMEOUT_S / 60:.0f} min.") from error
    finally:
        child.close()
    export = read_export(Path(reply["directory"]))
    if export is None:
        raise ExportRefused(f"The export in {reply['directory']} vanished while it was read.")
    return export


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; empty if there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""What models were when they were last pulled or verified, kept beside the exports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scenebook.encoders.exports import checksum
from scenebook.model_files import ModelFiles

FILE = "models.json"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """Checksums of a model's files, by their paths below its place, and its embedding space."""

    recorded_at: str
    checksums: Mapping[str, str]
    space: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, checksums: Mapping[str, str]) -> list[str]:
        """Names of files that came, went or changed since."""
        names = sorted({*self.checksums, *checksums})
        return [name for name in names if self.checksums.get(name) != checksums.get(name)]


def checksums_of(model: ModelFiles) -> dict[str, str]:
    """SHA-256 of each file; reads them whole."""
    if model.place is None:
        return {}
    base = model.place.parent if model.place.is_file() else model.place
    return {str(file.relative_to(base)): checksum(file) for file in model.files()}


def recorded(root: Path, model: ModelFiles) -> ModelRecord | None:
    """What was recorded of a model under this configuration, if anything."""
    fields = _all(root).get(model.key)
    try:
        return None if fields is None else ModelRecord(**fields)
    except TypeError:
        return None


def record(
    root: Path, model: ModelFiles, checksums: Mapping[str, str], space: Mapping[str, Any]
) -> bool:
    """Remember a model as it is; whether that could be written below root."""
    made = ModelRecord(datetime.now(UTC).isoformat(timespec="seconds"), checksums, space)
    records = _all(root) | {model.key: asdict(made)}
    written = root / f".{FILE}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(records, indent=1), "utf-8")
        written.replace(root / FILE)
    except OSError:
        return False
    return True


def _all(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((root / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Which files the settings name for each model, where they lie, and whether they are whole."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scenebook.encoders.checkpoints import SHIPPED, clip_source, is_shipped
from scenebook.encoders.fake import FAKE
from scenebook.encoders.inference import Kind
from scenebook.encoders.spaces import MODEL_FILES, identity
from scenebook.encoders.text import PACKAGED_FAST, TIERS
from scenebook.errors import ModelUnavailable
from scenebook.hub_cache import clip_repository, hub_cache, snapshot, speech_repository
from scenebook.settings import Settings

KINDS: tuple[Kind, ...] = ("clip", "text", "speech")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
# A header of a safetensors file is smaller than this, by the format's own limit.
HEADER_BYTES = 100_000_000


class Origin(StrEnum):
    """Where a model comes from."""

    SHIPPED = "shipped"
    PACKAGE = "package"
    LOCAL = "local"
    HUB = "hub"
    FAKE = "fake"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model that the settings name, and what of it lies on this machine.

    place is the file or directory; None while nothing is cached. repository names a hub's, where
    that is known without loading the model. used says whether the settings switch it on.
    """

    kind: Kind
    name: str
    weights: str
    origin: Origin
    used: bool
    place: Path | None = None
    repository: str | None = None

    @property
    def key(self) -> str:
        """Names the model as it is configured, whatever its files hold."""
        return " ".join(filter(None, (self.kind, self.name, self.weights)))

    @property
    def cached(self) -> bool:
        """Whether weights are here, so that loading needs no network."""
        return any(file.suffix in WEIGHTS for file in self.files())

    def files(self) -> list[Path]:
        """The files that the model is made of, in the order of their names."""
        if self.place is None:
            return []
        if self.place.is_file():
            return [self.place]
        return sorted(file for file in self.place.rglob("*") if file.suffix in MODEL_FILES)

    def named(self) -> tuple[str, str] | None:
        """Model and weights as LoadedModel names them; None while that cannot be known.

        Reads the files of a local model whole.
        """
        if self.kind == "clip" and self.origin is not Origin.FAKE:
            try:
                source = clip_source(self.name, self.weights)
            except ModelUnavailable:
                return None
            return source.model, source.weights
        if self.place is None:
            return None
        if self.origin is Origin.HUB:
            return TIERS.get(self.name, self.name), f"hub@{self.place.name}"
        packaged = self.origin is Origin.PACKAGE
        name = self.weights.rpartition("/")[2] if packaged else self.place.name
        return name, identity(self.place)

    def weights_file(self) -> Path | None:
        """The file with the weights: the largest, where a model comes in several forms."""
        found = [file for file in self.files() if file.suffix in WEIGHTS]
        return max(found, key=lambda file: file.stat().st_size, default=None)


def model_files(settings: Settings, kind: Kind) -> ModelFiles:
    """What the settings name for one kind of model; loads nothing and asks no network."""
    return {"clip": _clip, "text": _text, "speech": _speech}[kind](settings)


def _clip(settings: Settings) -> ModelFiles:
    name, pretrained, used = (
        settings.clip_model_name, settings.clip_pretrained, settings.clip_enabled
    )  # fmt: skip
    if name == FAKE:
        return ModelFiles("clip", name, "", Origin.FAKE, used)
    if is_shipped(name, pretrained):
        return ModelFiles("clip", name, "", Origin.SHIPPED, used, SHIPPED)
    if Path(pretrained).exists():
        return ModelFiles("clip", name, pretrained, Origin.LOCAL, used, Path(pretrained))
    repository = clip_repository(name, pretrained)
    if name.startswith("hf-hub:"):
        repository, pretrained = name.removeprefix("hf-hub:"), "hub"
    place = snapshot(settings.clip_cache_dir, repository)
    return ModelFiles("clip", name, pretrained, Origin.HUB, used, place, repository)


def _text(settings: Settings) -> ModelFiles:
    name, provider = settings.text_embedding_model, settings.text_embedding_provider
    if provider != "local":
        origin = Origin.FAKE if provider == "fake" else Origin.REMOTE
        return ModelFiles("text", provider, "", origin, used=False)
    packaged = importlib.util.find_spec(PACKAGED_FAST)
    if name == "fast" and packaged is not None and packaged.origin is not None:
        weights = Path(packaged.origin).parent / "model"
        return ModelFiles("text", name, TIERS[name], Origin.PACKAGE, used=True, place=weights)
    repository = TIERS.get(name, name)
    if Path(repository).exists():
        return ModelFiles("text", name, "", Origin.LOCAL, used=True, place=Path(repository))
    if "/" not in repository:
        repository = f"sentence-transformers/{repository}"
    named = repository if name in TIERS else ""
    place = snapshot(hub_cache(), repository)
    return ModelFiles("text", name, named, Origin.HUB, True, place, repository)


def _speech(settings: Settings) -> ModelFiles:
    name = settings.whisper_model
    used = settings.transcription_provider in ("auto", "local")
    if Path(name).exists():
        return ModelFiles("speech", name, "", Origin.LOCAL, used, Path(name))
    repository = name if "/" in name else speech_repository(name)
    place = snapshot(hub_cache(), repository)
    return ModelFiles("speech", name, "", Origin.HUB, used, place, repository)


def damage(file: Path) -> str | None:
    """Why a model's file cannot be whole, from its form alone; None where nothing is wrong."""
    try:
        size = file.stat().st_size
        if size == 0:
            return "is empty"
        if file.suffix == ".safetensors":
            return _damaged_safetensors(file, size)
        if file.suffix in (".pt", ".pth", ".bin"):
            return _damaged_archive(file)
        if file.suffix == ".json":
            json.loads(file.read_text("utf-8"))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError:
        return "is no JSON"
    return None


def _damaged_safetensors(file: Path, size: int) -> str | None:
    """Its header says where the last tensor ends, which is the end of the file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(HEADER_BYTES, size - 8):
            return "is no safetensors file, or is cut short"
        try:
            header = json.loads(opened.read(length))
            ends = [
                int(one["data_offsets"][1])
                for name, one in header.items()
                if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return None if size == whole else f"has {size} bytes instead of {whole}"


def _damaged_archive(file: Path) -> str | None:
    """torch saves a ZIP archive, whose directory is at its end; other forms are not judged."""
    with file.open("rb") as opened:
        zipped = opened.read(2) == b"PK"
    return "is cut short" if zipped and not zipfile.is_zipfile(file) else None

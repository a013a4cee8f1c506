"""Where a CLIP model's weights are: a tag, a file, a directory, or the shipped checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from scenebook.encoders.spaces import CALIBRATION, Calibration, identity
from scenebook.errors import ModelUnavailable

FIGURES = "figures"
SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / FIGURES
DEFAULT_PRETRAINED = "openai"  # of CLIP_PRETRAINED
# What open_clip loads from a directory; the weights may have any of these names.
CONFIGURATION = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class ClipSource:
    """CLIP_MODEL_NAME and CLIP_PRETRAINED, resolved.

    name is open_clip's name of the architecture, or `local-dir:` and a path; pretrained a tag or a
    path. model and weights are as the embedding space has them.
    """

    name: str
    pretrained: str
    model: str
    weights: str

    @property
    def calibration(self) -> Calibration | None:
        """What `calibration.json` in the checkpoint's directory says; None without one."""
        directory = Path(self.pretrained)
        return read_calibration(directory) if directory.is_dir() else None


def is_shipped(model_name: str, pretrained: str) -> bool:
    """Whether the shipped checkpoint is meant: by its name, unless other weights are named too."""
    return model_name == FIGURES and pretrained in ("", DEFAULT_PRETRAINED)


def clip_source(model_name: str, pretrained: str) -> ClipSource:
    """The source of a model's weights. Raises ModelUnavailable if the shipped ones are missing.

    Reads a local checkpoint whole, to name it by its content.
    """
    if is_shipped(model_name, pretrained):
        if not (SHIPPED / CONFIGURATION).is_file():
            raise ModelUnavailable(
                f"The checkpoint of CLIP_MODEL_NAME={FIGURES} is missing from {SHIPPED}. Install "
                "Scenebook again, or make it with `scenebook train-clip`."
            )
        pretrained = str(SHIPPED)
    checkpoint = Path(pretrained)
    if checkpoint.is_dir():
        name, model = f"local-dir:{checkpoint}", checkpoint.name
    else:
        name = model = model_name
    if name.startswith("hf-hub:"):
        weights = "hub"  # the name says which; CLIP_PRETRAINED is not used
    else:
        weights = identity(checkpoint) if checkpoint.exists() else pretrained
    return ClipSource(name, pretrained, model, weights)


def read_calibration(directory: Path) -> Calibration | None:
    """The calibration beside a checkpoint, or None. Raises ModelUnavailable if it is none."""
    path = directory / CALIBRATION
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        scale, labels = float(found["logit_scale"]), tuple(map(str, found["labels"]))
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"logit_scale is {scale}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"{path} is no calibration ({error!r}). It holds logit_scale, a positive number, and "
            "labels, a list of words; remove the file to use the model's own scale."
        ) from error
    return Calibration(scale, labels, calibrated=True)

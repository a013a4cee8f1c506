"""A trained model as a directory: weights, calibrated probabilities, golden vectors, a card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenebook.classification import (
    expected_calibration_error,
    fit_logit_scale,
    label_vector,
    probabilities,
)
from scenebook.encoders import golden
from scenebook.encoders.golden import Golden
from scenebook.encoders.spaces import CALIBRATION
from scenebook.labels import prompts
from scenebook.training.clip import Trained, Trainee
from scenebook.training.pairs import Pair

WEIGHTS = "open_clip_model.safetensors"
CONFIGURATION = "open_clip_config.json"
# Fewer labelled pictures do not pin a scale down.
LEAST_LABELLED = 100
GOLDEN_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The fitted logit scale, its expected calibration error, and on how many pictures."""

    logit_scale: float
    error: float
    pictures: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a training; calibrated is None without labels."""

    trained: Trained
    calibrated: Calibrated | None


def finished(
    trainee: Trainee,
    trained: Trained,
    directory: Path,
    *,
    command: str,
    pairs: int,
    private: bool,
) -> Finished:
    """Write the checkpoint; `command` and the number of pairs go onto its card.

    Of private pairs none is kept: golden vectors come with their pictures and texts.
    """
    save(trainee, directory)
    calibrated = calibrate(trainee, trained.held_out, directory)
    if not private:
        write_golden(trainee, trained.held_out, directory)
    write_card(directory, command=command, pairs=pairs, trained=trained)
    return Finished(trained, calibrated)


def save(trainee: Trainee, directory: Path) -> None:
    """Write configuration and weights; the weights in half precision, as they were measured."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    configuration = {"model_cfg": trainee.model_cfg, "preprocess_cfg": trainee.preprocess_cfg}
    (directory / CONFIGURATION).write_text(json.dumps(configuration, indent=2) + "\n")
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in trainee.model.state_dict().items()
    }
    temporary = directory / f"{WEIGHTS}.part"
    save_file(weights, temporary)
    temporary.replace(directory / WEIGHTS)


def calibrate(trainee: Trainee, held_out: Sequence[Pair], directory: Path) -> Calibrated | None:
    """Fit the logit scale to half of the labelled held-out pictures, and judge it on the others.

    Writes calibration.json; nothing, and None, if fewer than 100 of the pictures have a label.
    """
    labelled = [pair for pair in held_out if pair.label]
    labels = sorted({pair.label for pair in labelled})
    if len(labelled) < LEAST_LABELLED or len(labels) < 2:
        return None
    texts = np.stack([label_vector(list(trainee.text_vectors(prompts(one)))) for one in labels])
    similarities = trainee.image_vectors(labelled) @ texts.T
    truth = np.array([labels.index(pair.label) for pair in labelled], dtype=np.int64)
    scale = fit_logit_scale(similarities[::2], truth[::2])
    error = expected_calibration_error(probabilities(similarities[1::2], scale), truth[1::2])
    document = {
        "logit_scale": round(scale, 3),
        "expected_calibration_error": round(error, 4),
        "pictures": len(labelled),
        "labels": labels,
    }
    (directory / CALIBRATION).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return Calibrated(scale, error, len(labelled))


def write_golden(trainee: Trainee, held_out: Sequence[Pair], directory: Path) -> None:
    """Store the vectors of some held-out pairs beside the weights."""
    pairs = held_out[:: max(1, len(held_out) // GOLDEN_PAIRS)][:GOLDEN_PAIRS]
    texts = [pair.caption for pair in pairs]
    golden.write(
        directory,
        Golden(
            pictures=[pair.image.read_bytes() for pair in pairs],
            texts=texts,
            picture_vectors=list(trainee.image_vectors(pairs)),
            text_vectors=list(trainee.text_vectors(texts)),
        ),
    )


def write_card(directory: Path, *, command: str, pairs: int, trained: Trained) -> None:
    """Say how the checkpoint was made and what it reached."""
    (directory / "README.md").write_text(
        f"""# {directory.name}

An open_clip checkpoint: `CLIP_PRETRAINED` takes this directory.

- Made by `{command}` from {pairs} image-caption pairs.
- Recall@1 on held-out pairs before training: {trained.before}.
- Recall@1 on held-out pairs after training: {trained.after}.
""",
        encoding="utf-8",
    )

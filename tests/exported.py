"""Exports of a small CLIP and of the default text model, made once a session."""

import fcntl
import os
from pathlib import Path

import pytest

from scenebook.encoders.exports import all_exports, export_model
from scenebook.settings import Settings, load
from tests.checkpoints import CLIP_INPUT, checkpoints


def exported(session: pytest.TempPathFactory) -> Path:
    """A directory with an accepted export of the small CLIP and one of all-MiniLM-L6-v2."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    parent = session.getbasetemp().parent if parallel else session.getbasetemp()
    local, root = checkpoints(session), parent / "exports"
    with (parent / "exports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if len(all_exports(root)) < 2:
            export_model(settings(local / "clip", root), "clip", precision="int8")
            export_model(settings(local / "clip", root), "text", precision="int8")
    return root


def settings(checkpoint: Path, root: Path, **more: str) -> Settings:
    """CLIP of a checkpoint and the default text model, with exports below root."""
    values = {
        "CLIP_ENABLED": "true",
        "CLIP_PRETRAINED": str(checkpoint),
        "CLIP_MAX_IMAGE_SIZE": str(CLIP_INPUT),
        "CLIP_TIMEOUT_S": "20",
        "CLIP_CPU_THREADS": "1",
        "ENCODER_EXPORTS_DIR": str(root),
    }
    return load(values | more)

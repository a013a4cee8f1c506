"""What processes of ours are told through the environment, besides the settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def child_environment() -> dict[str, str]:
    """The environment for a child process: enough to run Python and find models, no secrets.

    It finds the modules that this process finds, whatever directory it works in.
    """
    keep = (
        "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE",
        "HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TORCH_HOME", "XDG_CACHE_HOME",
        "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE",
    )  # fmt: skip
    modules = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {key: os.environ[key] for key in keep if key in os.environ} | {"PYTHONPATH": modules}


def process_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process of our own, such as the worker: all of ours, and overrides."""
    return {**os.environ, **overrides}


def share_metrics(directory: Path) -> None:
    """Tell `prometheus_client` where the processes of a worker keep what they count."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)

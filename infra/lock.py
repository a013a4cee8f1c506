"""Writes the locks of the deploy images: what constraints.txt pins, with the hash of every file.

python infra/lock.py, after `pip install uv`; `make lock` does both. Four files, none of which
names an index: `api.lock`, for the image without torch; `worker.lock`, for all but torch;
`torch-cuda.lock`, which is what PyPI has of torch; `torch-cpu.lock`, with the files that pip takes
here, where an index offers the CPU build.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
API_EXTRAS = ("onnx",)
WORKER_EXTRAS = ("text", "clip", "speech", "onnx", "export")
TORCH = re.compile(r"^(torch|torchvision|triton|nvidia-|cuda-)")


def main() -> None:
    """Resolve what each image needs, and keep torch apart."""
    write("api.lock", resolved(API_EXTRAS).values())
    entries = resolved(WORKER_EXTRAS)
    ours = {name: entry for name, entry in entries.items() if not TORCH.match(name)}
    write("worker.lock", ours.values())
    write("torch-cuda.lock", [entries[name] for name in entries.keys() - ours.keys()])
    pins = re.findall(r"^(torch(?:vision)?)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    write("torch-cpu.lock", [of_this_index(f"{name}=={version}") for name, version in pins])


def resolved(extras: Iterable[str]) -> dict[str, str]:
    """Every package of an image with these extras, by name, with its hashes."""
    with tempfile.TemporaryDirectory() as directory:
        build = Path(directory) / "build.in"
        build.write_text("setuptools>=80\n")  # builds our own package, without isolation
        said = subprocess.run(
            [
                "uv", "pip", "compile", "pyproject.toml", build, "--quiet",
                *(word for extra in extras for word in ("--extra", extra)),
                "--constraint", "constraints.txt", "--generate-hashes", "--no-emit-index-url",
                "--no-annotate", "--no-header", "--python-version", "3.11.9",
                "--python-platform", "x86_64-manylinux_2_28",
            ],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    entries = re.findall(r"^[a-z0-9].*\n(?:    --hash=.*\n)+", said, re.M)
    return {entry.split("==")[0]: entry for entry in entries}


def of_this_index(pin: str) -> str:
    """A package at the file that pip would take here."""
    said = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps",
            "--ignore-installed", "--report", "-", pin,
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    (one,) = json.loads(said)["install"]
    hashes = one["download_info"]["archive_info"]["hashes"]
    version = one["metadata"]["version"]
    return f"{one['metadata']['name']}=={version} \\\n    --hash=sha256:{hashes['sha256']}\n"


def write(name: str, entries: Iterable[str]) -> None:
    """One lock, in the order of names."""
    said = "# Written by `make lock` from pyproject.toml and constraints.txt; see infra/lock.py.\n"
    (ROOT / "infra" / name).write_text(said + "".join(sorted(entries)))


if __name__ == "__main__":
    main()

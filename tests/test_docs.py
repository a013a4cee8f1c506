"""What the documentation names exists: commands, options, make targets, files, settings."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import typer

from scenebook.cli import (
    backfilling,
    demo,
    doctor,
    keys,
    models,
    reconciling,
    reference,
    search_commands,
    seeing,
    spaces,
    todo,
    training,
    up,
    webhooks,
)
from scenebook.cli.commands import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app)
# Imported because they register their commands.
REGISTERED = (
    backfilling,
    demo,
    doctor,
    keys,
    models,
    reconciling,
    reference,
    search_commands,
    seeing,
    training,
    spaces,
    todo,
    up,
    webhooks,
)


def code_lines(page: Path) -> list[str]:
    blocks = re.findall(r"^```(?:sh|text)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)
    spans = re.findall(r"`(scenebook [^`]+|make [^`]+)`", page.read_text("utf-8"))
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()] + spans


def documented(program: str) -> list[tuple[str, str]]:
    return [
        (page.name, line)
        for page in PAGES
        for line in code_lines(page)
        if line.startswith(f"{program} ")
    ]


@pytest.mark.parametrize(("page", "line"), documented("scenebook"))
def test_every_documented_command_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(re.sub(r"[\[\]|…]", " ", line.split("  ")[0]))
    command = COMMANDS.commands.get(words[1])  # type: ignore[attr-defined]
    assert command is not None, f"{page}: {line}"
    if len(words) > 2 and (group := getattr(command, "commands", None)):
        command = group.get(words[2])
        assert command is not None, f"{page}: {line}"
    known = {name for option in command.params for name in option.opts} | {"--json", "--owner"}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        assert f"scenebook {name}" in page
        assert command.help, f"{name} has no help"


def synopses() -> dict[str, str]:
    """The lines of docs/cli.md's first block, by the command that they are about."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    (block,) = re.findall(r"\A.*?```text\n(.*?)```", page, re.DOTALL)
    entries = re.split(r"^scenebook ", block, flags=re.M)[1:]
    groups = {name for name, one in COMMANDS.commands.items() if hasattr(one, "commands")}  # type: ignore[attr-defined]
    return {
        " ".join(entry.split()[: 2 if entry.split()[0] in groups else 1]): entry
        for entry in entries
    }


def commands_with_options() -> list[tuple[str, click.Command]]:
    found = []
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += (
            [(name, command)] if inner is None else [(f"{name} {n}", c) for n, c in inner.items()]
        )
    return found


@pytest.mark.parametrize(
    ("name", "command"), commands_with_options(), ids=[name for name, _ in commands_with_options()]
)
def test_every_option_is_in_the_synopsis(name: str, command: click.Command) -> None:
    options = {option for one in command.params for option in one.opts if option.startswith("--")}
    named = set(re.findall(r"--[a-z-]+", synopses()[name]))
    # All commands that work for an owner or print JSON have these.
    assert options - named - {"--owner", "--json"} == set()


@pytest.mark.parametrize("name", sorted(COMMANDS.commands))  # type: ignore[attr-defined]
def test_every_command_explains_itself(name: str) -> None:
    command = COMMANDS.commands[name]  # type: ignore[attr-defined]
    help_text = command.get_help(click.Context(command, info_name=name))
    assert "Usage" in help_text


def test_every_documented_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {line.split()[1] for _, line in documented("make")}
    assert named - targets == set()


def test_every_proof_that_is_named_is_a_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    assert len(named) > 100
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in (ROOT / "tests" / file).read_text("utf-8")
    ]
    assert missing == []


def test_the_table_of_settings_is_current() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert reference.BEGIN in text
    assert reference.with_table(text) == text, "run `make docs`"


def test_the_example_file_is_current() -> None:
    assert (ROOT / ".env.example").read_text("utf-8") == reference.env_example(), "run `make docs`"


def test_every_file_that_the_packages_read_is_installed_with_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    shipped = project["tool"]["setuptools"]["package-data"]
    left_out = [
        str(path.relative_to(ROOT))
        for package in ("scenebook", "worker", "migrations")
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file()
        and path.suffix not in (".py", ".pyc", ".md")
        and not any(path.match(pattern) for pattern in shipped.get(package, []))
    ]
    assert left_out == []


def test_constraints_pin_every_package_and_fit_the_project() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra, requirements in project["optional-dependencies"].items():
        wanted += requirements if extra != "benchmarks" else []
    names = {re.split(r"[\[<>=;, ]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - {pin.lower() for pin in pins} == set()
    assert (pins["torch"], pins["torchvision"]) == ("2.13.0", "0.28.0")

"""`scenebook settings`: the settings as a table, as `.env.example`, or inside a page of docs/."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scenebook.cli.commands import app
from scenebook.cli.output import answers
from scenebook.errors import InvalidInput
from scenebook.settings import Settings

BEGIN, END = "<!-- settings: made by `make docs` -->", "<!-- end of settings -->"


class Form(StrEnum):
    """How to print the settings."""

    TABLE = "table"
    ENV = "env"


@app.command(name="settings")
def settings_command(
    form: Annotated[Form, typer.Option("--as", help="A Markdown table, or an .env file.")] = (
        Form.TABLE
    ),
    into: Annotated[
        Path | None, typer.Option(help="Put the table between its marks in this file.")
    ] = None,
) -> None:
    """Every variable that configures Scenebook, with its default and its meaning."""
    if into is not None:
        text = into.read_text("utf-8")
        if BEGIN not in text or END not in text:
            raise InvalidInput(f"{into} has no marks {BEGIN} and {END} to put the table between.")
        into.write_text(with_table(text), "utf-8")
        return
    text = settings_table() if form is Form.TABLE else env_example()
    answers().print(text, markup=False, soft_wrap=True, end="")


def with_table(text: str) -> str:
    """A document with the table of settings between its marks renewed."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{settings_table()}{END}", text)


def settings_table() -> str:
    """The settings as a Markdown table."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name.upper()}` | {_default(field.default) or 'unset'} | {meaning} |")
    return "\n".join(lines) + "\n"


def env_example() -> str:
    """The settings as an `.env` file in which everything is commented out."""
    lines = [
        "# Settings of Scenebook, with their defaults. Copy to .env and change what you need.",
        "# Made by `make docs` from scenebook/settings.py. Empty and null mean unset.",
    ]
    group = ""
    for name, field in Settings.model_fields.items():
        prefix = name.split("_")[0]
        if prefix != group:
            lines.append("")
            group = prefix
        lines.append(f"# {field.description}")
        lines.append(f"# {name.upper()}={_plain(field.default)}")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    text = _plain(value)
    return f"`{text}`" if text else ""


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The index of the decisions: their numbers and titles, read from the pages."""

from __future__ import annotations

from pathlib import Path

INTRODUCTION = """# Decisions

Why things are as they are: one page a decision, with its context, its consequences and what else
was thought of. A decision that no longer holds is replaced by a later one, which names it.

| number | decision |
|---|---|
"""


def decisions_page(folder: Path) -> str:
    """One line a decision."""
    titles = {path.name: _title(path) for path in sorted(folder.glob("[0-9]*.md"))}
    return INTRODUCTION + "".join(
        f"| {name[:4]} | [{title}]({name}) |\n" for name, title in titles.items()
    )


def _title(path: Path) -> str:
    heading = path.read_text("utf-8").splitlines()[0]
    return heading.removeprefix("#").strip().removeprefix(path.name[:4]).strip()

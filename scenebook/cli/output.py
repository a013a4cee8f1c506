"""Where commands write: answers on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console, RenderableType

# Without a terminal a table is as wide as it needs, so that grep and scripts see whole lines.
PIPE_WIDTH = 160


def answers() -> Console:
    """The console for answers."""
    return _console(stderr=False)


def notes() -> Console:
    """The console for progress, hints and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return (
        console
        if console.is_terminal
        else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    )


def answer(shape: Any, table: RenderableType, *, as_json: bool) -> None:
    """Print one answer, as JSON or for people."""
    if as_json:
        text = json.dumps(shape, indent=2, ensure_ascii=False, default=str)
        answers().print(text, markup=False, soft_wrap=True)
    else:
        answers().print(table)

"""The `scenebook` command: the domain on a command line, and the processes that do the work."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

from scenebook.errors import ScenebookError


def main() -> None:
    """Run one command; an error of ours is one message that says what to do, and exit code 1."""
    # Without this, SIGTERM would end the process with the embedded servers' tidying undone.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # Here, for they take a second in which Ctrl-C should not end in a traceback.
        from scenebook.cli import (  # noqa: F401 - register commands
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

        app()
    except ScenebookError as error:
        _explain(error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _explain(error: ScenebookError) -> None:
    if "--json" in sys.argv:
        shape = {"error": {"code": error.code, "message": str(error)}}
        sys.stderr.write(json.dumps(shape) + "\n")
    else:
        sys.stderr.write(f"Error: {error}\n")

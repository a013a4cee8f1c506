"""`scenebook queue`: what is to be done, who does it, and what was given up, of all owners."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from scenebook.cli.commands import AsJson, app, working_as
from scenebook.cli.output import answer
from scenebook.db.engine import Database, Role
from scenebook.db.overview import Overview
from scenebook.operations import operations


@app.command()
def queue(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows of each kind.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the to-do list of all owners: depth, processes, leases, dead letters."""
    with working_as(None) as place:
        url = place.settings.database_url
        assert url is not None
        with closing(Database(url, role=Role.OPERATOR, pool_size=1)) as across:
            found = operations(across, limit=limit)
    answer(_shape(found), _tables(found), as_json=as_json)


def _shape(found: Overview) -> dict[str, Any]:
    return {name: [_plain(row) for row in rows] for name, rows in asdict(found).items()}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Seconds are numbers in JSON, whatever the driver made of them."""
    return {
        name: round(float(value), 1) if name.endswith("_s") and value is not None else value
        for name, value in row.items()
    }


def _tables(found: Overview) -> Group:
    return Group(
        _table(
            "To be done", ["stage", "state", "jobs", "due for"],
            [[one.stage, one.state, one.jobs, _for(one.oldest_s)] for one in found.depth],
        ),
        _table(
            "Processes", ["id", "kind", "alive", "version"],
            [
                [one.id, one.kind + (", draining" if one.draining else ""),
                 f"{_for(one.silent_s)} ago", one.version]
                for one in found.processes
            ],
        ),
        _table(
            "Running", ["job", "stage", "video", "owner", "attempt", "worker", "lease"],
            [
                [one.id, one.stage, one.video_id, one.owner_id, one.attempt, one.worker,
                 _for(one.lease_s)]
                for one in found.running
            ],
        ),
        _table(
            "Dead letters", ["job", "stage", "video", "owner", "code", "message"],
            [
                [one.id, one.stage, one.video_id, one.owner_id, one.code, one.message]
                for one in found.dead
            ],
        ),
        _table(
            "Owners with most to be done", ["owner", "jobs", "running", "at most"],
            [[one.owner_id, one.jobs, one.running, one.max_running] for one in found.owners],
        ),
    )  # fmt: skip


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> Table | Text:
    if not rows:
        return Text(f"{title}: none.")
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*("" if value is None else Text(str(value)) for value in row))
    return table


def _for(seconds: float) -> str:
    seconds = float(seconds)
    return f"{seconds:.0f} s" if abs(seconds) < 600 else f"{seconds / 60:.0f} min"

"""`scenebook spaces`: which embedding spaces there are, and which one searches ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from scenebook import spaces as domain
from scenebook.cli.commands import AsJson, app, working_as
from scenebook.cli.output import answer, notes
from scenebook.cli.workplace import Workplace
from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace
from scenebook.errors import InvalidInput
from scenebook.model import Channel
from scenebook.spaces import Change, Operator, SpaceReport

spaces = typer.Typer(
    help="Embedding spaces of the whole deployment: list, activate, rollback, drop.",
    no_args_is_help=True,
)
app.add_typer(spaces, name="spaces")

Space = Annotated[int | None, typer.Argument(metavar="ID", help="A space, as `list` numbers them.")]
OfChannel = Annotated[Channel | None, typer.Option("--channel", help="Of this channel.")]
Force = Annotated[bool, typer.Option("--force", help="Even if scenes are not found afterwards.")]


@contextmanager
def operating(owner: str | None = None) -> Iterator[tuple[Workplace, Operator]]:
    """The workplace of a command that works for all owners, one after the other."""
    with working_as(owner) as place:
        url = place.settings.database_url
        assert url is not None
        with (
            closing(Database(url, role=Role.WORKER, pool_size=2)) as db,
            closing(Database(url, role=Role.RELAY, pool_size=1)) as relay,
        ):
            yield place, Operator(db, relay)


@spaces.command(name="list")
def list_command(channel: OfChannel = None, as_json: AsJson = False) -> None:
    """Every space, and how many scenes of all owners have vectors in it."""
    with operating() as (_, operator):
        reports = domain.list_spaces(operator, channel)
    answer([_report_shape(one) for one in reports], _table(reports), as_json=as_json)


@spaces.command()
def activate(
    space: Space = None, channel: OfChannel = None, force: Force = False, as_json: AsJson = False
) -> None:
    """Make searches ask a space: the one named, or the only one that a channel is building."""
    with operating() as (_, operator), _bar("Sidecars") as told:
        wanted = domain.space_for(operator, space_id=space, channel=channel, among=["building"])
        change = domain.activate(operator, space_id=wanted.id, force=force, on_progress=told)
    _tell(change, as_json=as_json)


@spaces.command()
def rollback(
    space: Space = None, channel: OfChannel = None, force: Force = False, as_json: AsJson = False
) -> None:
    """Make searches ask the space again that was active before, or the retired one named."""
    with operating() as (_, operator), _bar("Sidecars") as told:
        if space is None and channel is None:
            raise InvalidInput("Name a --channel, or a space. `scenebook spaces list` shows them.")
        if space is None and channel is not None:
            space = domain.previous_space(operator, channel).id
        wanted = domain.space_for(operator, space_id=space, channel=channel, among=["retired"])
        change = domain.activate(operator, space_id=wanted.id, force=force, on_progress=told)
    _tell(change, as_json=as_json)


@spaces.command()
def drop(space: Space = None, channel: OfChannel = None, as_json: AsJson = False) -> None:
    """Remove a space that is not active, with all its vectors: there is no way back."""
    with operating() as (_, operator), _bar("Owners") as told:
        wanted = domain.space_for(
            operator, space_id=space, channel=channel, among=["building", "retired"]
        )
        removed = domain.drop(operator, space_id=wanted.id, on_progress=told)
    answer(
        {"space": _space_shape(wanted), "vectors": removed},
        Text(f"Space {wanted.id} ({wanted.space.model}) is gone, with {removed} vectors."),
        as_json=as_json,
    )


@contextmanager
def _bar(what: str) -> Iterator[domain.OnProgress]:
    with Progress(console=notes(), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell(change: Change, *, as_json: bool) -> None:
    before, after, standing = change.before, change.after, change.standing
    channel = after.space.channel
    lines = [f"Searches in {channel} ask space {after.id} ({after.space.model})."]
    if before is not None and before.id == after.id:
        lines = [f"Space {after.id} ({after.space.model}) was the active one of {channel} already."]
    elif before is not None:
        lines.append(f"Space {before.id} ({before.space.model}) is retired; its vectors stay.")
    lost = standing.missing + standing.failed
    if lost:
        lines.append(
            f"{lost} scenes have no vector in it; `scenebook backfill --channel {channel} --space "
            f"{after.id} --all-owners` makes them."
        )
    shape = {
        "before": None if before is None else before.id,
        "after": _space_shape(after),
        "missing": standing.missing,
        "failed": standing.failed,
    }
    answer(shape, Text("\n".join(lines)), as_json=as_json)


def _space_shape(stored: StoredSpace) -> dict[str, Any]:
    space = stored.space
    return {
        "id": stored.id,
        "channel": space.channel.value,
        "model": space.model,
        "weights": space.weights,
        "revision": space.revision,
        "dimensions": space.dimensions,
        "status": stored.status,
        "created_at": _time(stored.created_at),
        "activated_at": _time(stored.activated_at),
        "retired_at": _time(stored.retired_at),
    }


def _report_shape(report: SpaceReport) -> dict[str, Any]:
    standing = report.standing
    return _space_shape(report.stored) | {
        "scenes": standing.embedded,
        "missing": standing.missing,
        "failed": standing.failed,
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat())


def _table(reports: Sequence[SpaceReport]) -> RenderableType:
    if not reports:
        return Text("No spaces yet. The first video that is indexed opens them.")
    table = Table(
        "id", "channel", "status", "scenes", "missing", "model", "weights", "dim", box=None,
        pad_edge=False,
    )  # fmt: skip
    for report in reports:
        space, standing = report.stored.space, report.standing
        table.add_row(
            str(report.stored.id),
            space.channel,
            report.stored.status,
            str(standing.embedded),
            str(standing.missing + standing.failed),
            escape(space.model),
            escape(space.weights),
            str(space.dimensions),
        )
    return table

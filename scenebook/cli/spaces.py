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

from scenebook import owner_indexes
from scenebook import spaces as domain
from scenebook.cli.commands import AsJson, app, working_as
from scenebook.cli.output import answer, notes
from scenebook.cli.workplace import Workplace
from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace
from scenebook.errors import InvalidInput
from scenebook.model import Channel
from scenebook.owner_indexes import OwnerReport
from scenebook.spaces import Change, Operator, SpaceReport

spaces = typer.Typer(
    help="Embedding spaces of the whole deployment: list, activate, rollback, drop, index.",
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
    with operating() as (place, operator), _bar("Owners") as told:
        wanted = domain.space_for(
            operator, space_id=space, channel=channel, among=["building", "retired"]
        )
        if not wanted.is_active:
            owner_indexes.drop(operator, _url_of_tables(place), stored=wanted)
        removed = domain.drop(operator, space_id=wanted.id, on_progress=told)
    answer(
        {"space": _space_shape(wanted), "vectors": removed},
        Text(f"Space {wanted.id} ({wanted.space.model}) is gone, with {removed} vectors."),
        as_json=as_json,
    )


@spaces.command()
def index(
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose index. Left out: list what there is.")
    ] = None,
    channel: OfChannel = None,
    space: Annotated[int | None, typer.Option("--space", metavar="ID", help="In it.")] = None,
    remove: Annotated[bool, typer.Option("--drop", help="Drop the index again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a big owner an index of its own, which its searches use where it is reliable."""
    with operating(owner) as (place, operator):
        if owner is None:
            if remove or space is not None:
                raise InvalidInput("Name the --owner whose index this is about.")
            reports = owner_indexes.list_owners(operator, channel)
            answer([_index_shape(one) for one in reports], _index_table(reports), as_json=as_json)
            return
        stored = domain.space_for(operator, space_id=space, channel=channel, among=["active"])
        url = _url_of_tables(place)
        shape: dict[str, Any] = {"owner": str(place.owner_id), "space": stored.id}
        if remove:
            dropped = bool(
                owner_indexes.drop(operator, url, stored=stored, owner_id=place.owner_id)
            )
            said = "Dropped. Searches compare every vector." if dropped else "There was no index."
            answer(shape | {"dropped": dropped}, Text(said), as_json=as_json)
            return
        built = owner_indexes.build(operator, url, owner_id=place.owner_id, stored=stored)
    answer(
        shape | {"vectors": built.vectors, "seconds": round(built.seconds, 1)},
        Text(f"An index of {built.vectors} vectors stands, built in {built.seconds:.1f} s."),
        as_json=as_json,
    )


def _url_of_tables(place: Workplace) -> str:
    url = place.settings.migrations_database_url or place.settings.database_url
    assert url is not None
    return url


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


def _index_shape(report: OwnerReport) -> dict[str, Any]:
    return {
        "owner": str(report.vectors.owner_id),
        "space": report.stored.id,
        "channel": report.stored.space.channel.value,
        "vectors": report.vectors.count,
        "has_index": report.vectors.has_index,
        "advisable": report.is_advisable,
    }


def _index_table(reports: Sequence[OwnerReport]) -> RenderableType:
    if not reports:
        most = owner_indexes.ADVISABLE_ABOVE
        return Text(f"No owner has an index of its own, and none has more than {most} vectors.")
    table = Table("owner", "space", "channel", "vectors", "own index", box=None, pad_edge=False)
    for report in reports:
        standing = "yes" if report.vectors.has_index else "advisable"
        table.add_row(
            str(report.vectors.owner_id),
            str(report.stored.id),
            report.stored.space.channel,
            str(report.vectors.count),
            standing,
        )
    return table


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

"""`scenebook backfill`: makes the vectors that scenes lack, in any channel and any space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from scenebook.backfill import Backfill, Throttle, Wanted
from scenebook.cli.commands import AsJson, Owner, app
from scenebook.cli.find import find_video
from scenebook.cli.output import answer, notes
from scenebook.cli.spaces import operating
from scenebook.db.spaces import StoredSpace
from scenebook.encoders.client import Encoders
from scenebook.errors import InvalidInput
from scenebook.model import Channel, ChannelStatus
from scenebook.space_models import SpaceModels


@dataclass(slots=True)
class _Run:
    """One command's work, and how far it came."""

    backfill: Backfill
    wanted: Wanted
    space: StoredSpace | None
    lacking: dict[UUID, Counter[UUID]]
    ended: Counter[ChannelStatus] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.lacking.values())


@app.command()
def backfill(
    channel: Annotated[Channel, typer.Option(help="The channel to fill.")],
    space: Annotated[
        int | None, typer.Option(help="The space to fill. Default: the configured model's.")
    ] = None,
    all_owners: Annotated[bool, typer.Option("--all-owners", help="For every owner.")] = False,
    video: Annotated[str | None, typer.Option(help="Only this video.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also what failed for good, as broken pictures.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Most scenes.")] = None,
    pause: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait after each batch of 16.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Most scenes a minute.")] = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Make the vectors that scenes lack; a run that was stopped goes on where it was."""
    if all_owners and (owner is not None or video is not None):
        raise InvalidInput("--all-owners is every video of every owner. Leave the other out.")
    if pause is not None and rate is not None:
        raise InvalidInput("--pause and --rate both slow the work down. Leave one out.")
    with operating(owner) as (place, operator):
        owner_ids = operator.owner_ids() if all_owners else [place.owner_id]
        video_id = None if video is None else find_video(place, video).id
        wanted = Wanted(channel, space, video_id, retry_failed)
        settings = place.settings.model_copy(update={"clip_enabled": True})
        with (
            closing(Encoders(settings)) as encoders,
            closing(SpaceModels(settings, encoders)) as models,
        ):
            work = Backfill(
                operator.db, place.storage, models, wanted,
                clip_enabled=place.settings.clip_enabled,
            )  # fmt: skip
            run = _plan(work, wanted, owner_ids, limit)
            if dry_run:
                _show_plan(run, as_json=as_json)
                return
            _do(run, Throttle(pause or 0.0, rate), limit=limit, as_json=as_json)


def _plan(backfill: Backfill, wanted: Wanted, owner_ids: Sequence[UUID], limit: int | None) -> _Run:
    """What there is to do, at most `limit` scenes in all."""
    if not owner_ids:
        return _Run(backfill, wanted, None, {})
    with notes().status("Looking for scenes without a vector…"):
        space = backfill.space(owner_ids[0])
        run, left = _Run(backfill, wanted, space, {}), limit
        for owner_id in owner_ids:
            counts = backfill.lacking(owner_id, space, left)
            if counts:
                run.lacking[owner_id] = counts
            left = None if left is None else left - sum(counts.values())
    return run


def _do(run: _Run, throttle: Throttle, *, limit: int | None, as_json: bool) -> None:
    """Encode, show how far it is, and say at the end, or at Ctrl-C, what became of it."""
    left, stopped = limit, False
    columns = [*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=notes()) as progress:
        task = progress.add_task(f"{run.wanted.channel}", total=run.total)

        def told(ended: Counter[ChannelStatus]) -> None:
            run.ended.update(ended)
            progress.update(task, advance=sum(ended.values()))

        try:
            for owner_id in run.lacking:
                done = run.backfill.run(owner_id, on_batch=told, throttle=throttle, limit=left)
                left = None if left is None else left - sum(done.values())
        except KeyboardInterrupt:
            stopped = True
    _show_end(run, stopped=stopped, as_json=as_json)
    if stopped:
        raise typer.Exit(130)


def _show_end(run: _Run, *, stopped: bool, as_json: bool) -> None:
    statuses = {status.value: count for status, count in sorted(run.ended.items())}
    told = ", ".join(f"{count} {status}" for status, count in statuses.items())
    text = f"{run.wanted.channel}: {told or 'no scene lacks a vector'}."
    if stopped:
        text = f"Stopped; what was done stays ({told or 'nothing'}). Run it again to go on."
    shape = _head(run) | {"stopped": stopped, "statuses": statuses}
    answer(shape, Text(text), as_json=as_json)


def _show_plan(run: _Run, *, as_json: bool) -> None:
    table = Table("owner", "video", "scenes", box=None, pad_edge=False)
    owners: list[dict[str, Any]] = []
    for owner_id, counts in run.lacking.items():
        videos = [{"video_id": str(one), "scenes": count} for one, count in counts.items()]
        owners.append({"owner_id": str(owner_id), "videos": videos})
        for one, count in counts.items():
            table.add_row(str(owner_id), str(one), str(count))
    shape = _head(run) | {"dry_run": True, "owners": owners}
    nothing = Text(f"{run.wanted.channel}: no scene lacks a vector.")
    answer(shape, table if owners else nothing, as_json=as_json)


def _head(run: _Run) -> dict[str, Any]:
    return {
        "channel": run.wanted.channel.value,
        "space": run.space and run.space.id,
        "scenes": run.total,
    }

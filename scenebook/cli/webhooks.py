"""`scenebook webhooks`: who is told of an owner's settled videos, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenebook import webhooks as domain
from scenebook.cli.commands import AsJson, Owner, app, working_as
from scenebook.cli.output import answer
from scenebook.db.webhooks import Delivery, Endpoint
from scenebook.webhooks import Event

webhooks = typer.Typer(
    help="Who is told when a video is ready, partial or failed: add, list, remove, deliveries.",
    no_args_is_help=True,
)
app.add_typer(webhooks, name="webhooks")

EndpointId = Annotated[UUID, typer.Argument(metavar="ID", help="An endpoint, as `list` shows it.")]


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to send events.")],
    event: Annotated[
        list[Event] | None, typer.Option(help="An event to be told of. Default: all.")
    ] = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint, and show its secret: this once."""
    with working_as(owner) as place:
        added = domain.add_endpoint(
            place.database,
            place.settings,
            owner_id=place.owner_id,
            url=url,
            events=event or tuple(Event),
        )
    lines = f"{added.id} is told of {', '.join(added.events)}.\nIts secret: {added.secret}"
    answer(_shape(added) | {"secret": added.secret}, Text(lines), as_json=as_json)


@webhooks.command(name="list")
def list_command(owner: Owner = None, as_json: AsJson = False) -> None:
    """Every endpoint of the owner."""
    with working_as(owner) as place:
        found = domain.list_endpoints(place.database, owner_id=place.owner_id)
    answer([_shape(one) for one in found], _table(found), as_json=as_json)


@webhooks.command()
def remove(endpoint: EndpointId, owner: Owner = None, as_json: AsJson = False) -> None:
    """Remove an endpoint, its log, and what was to be sent to it."""
    with working_as(owner) as place:
        domain.remove_endpoint(place.database, owner_id=place.owner_id, endpoint_id=endpoint)
    answer({"id": str(endpoint)}, Text(f"{endpoint} is gone."), as_json=as_json)


@webhooks.command()
def deliveries(
    endpoint: EndpointId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """What an endpoint was and will be told, newest first."""
    with working_as(owner) as place:
        page = domain.list_deliveries(
            place.database, owner_id=place.owner_id, endpoint_id=endpoint, limit=limit
        )
    found = page.deliveries
    answer([_delivery_shape(one) for one in found], _log(found), as_json=as_json)


def _shape(one: Endpoint) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "url": one.url,
        "events": list(one.events),
        "enabled": one.disabled_at is None,
        "disabled_reason": one.disabled_reason,
        "created_at": one.created_at.isoformat(),
    }


def _delivery_shape(one: Delivery) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "event": one.event,
        "state": one.state,
        "attempts": one.attempt,
        "next_at": one.next_at.isoformat() if one.state == "pending" else None,
        "response_status": one.response_status,
        "error": one.error,
        "created_at": one.created_at.isoformat(),
    }


def _table(found: list[Endpoint]) -> RenderableType:
    if not found:
        return Text("No endpoints yet. Add one with `scenebook webhooks add URL`.")
    table = Table("id", "url", "events", "state", box=None, pad_edge=False)
    for one in found:
        state = "enabled" if one.disabled_at is None else f"disabled: {one.disabled_reason}"
        table.add_row(str(one.id), escape(one.url), ", ".join(one.events), escape(state))
    return table


def _log(found: Sequence[Delivery]) -> RenderableType:
    if not found:
        return Text("Nothing was sent to this endpoint yet.")
    table = Table("when", "event", "state", "attempts", "why", box=None, pad_edge=False)
    for one in found:
        when = one.created_at.isoformat(" ", "seconds")
        table.add_row(when, one.event, one.state, str(one.attempt), escape(one.error or ""))
    return table

"""`scenebook keys`: API keys of an owner, for programs that call the HTTP service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from scenebook import api_keys
from scenebook.cli.commands import AsJson, Owner, app, working_as
from scenebook.cli.output import answer, notes
from scenebook.db.api_keys import ApiKey
from scenebook.errors import InvalidInput, NotFound

keys = typer.Typer(help="API keys of an owner: create, list, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="read, write or admin; again for several. Default: read."),
]
Days = Annotated[int | None, typer.Option("--expires-days", help="Days until it ends.")]
Which = Annotated[str, typer.Argument(metavar="KEY", help="An id or a prefix, as `list` shows.")]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Scopes = None,
    expires_days: Days = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, which cannot be shown again."""
    with working_as(owner) as place:
        made = api_keys.create_key(
            place.database,
            owner_id=place.owner_id,
            name=name,
            scopes=scope or ["read"],
            expires_days=expires_days,
        )
    if not as_json:
        notes().print("Keep it now: it is not shown again. Send it as `Authorization: Bearer …`.")
    answer(_shape(made.key) | {"secret": made.secret}, Text(made.secret), as_json=as_json)


@keys.command(name="list")
def list_command(owner: Owner = None, as_json: AsJson = False) -> None:
    """Every key of the owner, also those that no longer work."""
    with working_as(owner) as place:
        found = api_keys.list_keys(place.database, owner_id=place.owner_id)
    answer([_shape(key) for key in found], _table(found), as_json=as_json)


@keys.command()
def revoke(key: Which, owner: Owner = None, as_json: AsJson = False) -> None:
    """End a key for good; a running service notices within two seconds."""
    with working_as(owner) as place:
        wanted = _find(api_keys.list_keys(place.database, owner_id=place.owner_id), key)
        ended = api_keys.revoke_key(place.database, owner_id=place.owner_id, key_id=wanted)
    answer(_shape(ended), Text(f"{ended.prefix} ({ended.name}) is revoked."), as_json=as_json)


def _find(found: Sequence[ApiKey], text: str) -> UUID:
    fitting = [key for key in found if text in (str(key.id), key.prefix)]
    if not fitting:
        raise NotFound(f"There is no API key {text}. `scenebook keys list` lists yours.")
    if len(fitting) > 1:
        raise InvalidInput(f"Several keys begin with {text}. Name one by its id.")
    return fitting[0].id


def _shape(key: ApiKey) -> dict[str, Any]:
    def time_of(value: Any) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "status": _status(key),
        "created_at": time_of(key.created_at),
        "expires_at": time_of(key.expires_at),
        "revoked_at": time_of(key.revoked_at),
        "last_used_at": time_of(key.last_used_at),
    }


def _status(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expired else "works"


def _table(found: Sequence[ApiKey]) -> Table:
    table = Table("ID", "Name", "Begins", "Scopes", "Status", "Last used", box=None)
    for key in found:
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        cells = (str(key.id), key.name, key.prefix, " ".join(sorted(key.scopes)), _status(key))
        table.add_row(*(Text(cell) for cell in cells), used)
    return table

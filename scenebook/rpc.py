"""Calls the public SQL functions by name, as the owner's own role, with answers as JSON text."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection, text

from scenebook.db.engine import Database
from scenebook.public_functions import CallRefused, PublicFunction

MAX_ROWS = 1000  # as match_count allows
# Casts that `select=column::type` may ask for.
CASTS = frozenset(
    {"text", "integer", "int4", "bigint", "int8", "numeric", "float8", "json", "jsonb", "uuid"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the answer: where it comes from, the type it is cast to, the name it has."""

    source: str
    cast: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A column to order by; without nulls_first, nulls go where Postgres puts them."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """Which columns and rows of the function's answer are wanted; no columns are all of them."""

    columns: tuple[Column, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = MAX_ROWS
    offset: int = 0
    strip_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """The named arguments of a call: one JSON object as text, or each value as text."""

    names: tuple[str, ...]
    object: str | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON array as text, how many rows are in it, and how many there were in all."""

    body: str
    rows: int
    total: int


def call(
    db: Database,
    *,
    owner_id: UUID,
    claims: Mapping[str, Any],
    function: PublicFunction,
    arguments: Arguments,
    shape: Shape,
) -> Answer:
    """The function's answer to one owner, under row-level security and the owner's own role.

    claims: of the owner's JWT, for `auth.jwt()` in policies; may be empty. Raises CallRefused with
    Postgres' code, Unavailable.
    """
    query = _query(function, arguments, shape)
    values: dict[str, Any] = {"object": arguments.object} if arguments.object is not None else {}
    values |= {f"text_{n}": value for n, value in enumerate(arguments.texts)}
    if any("\0" in value for value in arguments.texts):
        raise CallRefused(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    with db.transaction(owner_id=owner_id, role="authenticated", claims=claims) as tx:
        row = _execute(tx, query, {**values, "limit": shape.limit, "offset": shape.offset})
    return Answer(body=row.body, rows=row.rows, total=row.total)


def _query(function: PublicFunction, arguments: Arguments, shape: Shape) -> sa.TextClause:
    """The statement. Every name in it is the catalog's, or checked and quoted; values are bound."""
    passed = ", ".join(f"{_quoted(name)} => given.{_quoted(name)}" for name in arguments.names)
    every_row = "pg_catalog.json_agg(_page.*)"
    if shape.strip_nulls:
        every_row = f"pg_catalog.json_strip_nulls({every_row})"
    return text(
        f"with answer as (select called.* from {_given(function, arguments)}"
        f" cross join lateral public.{_quoted(function.name)}({passed}) as called)"
        " select (select pg_catalog.count(*) from answer) as total,"
        " pg_catalog.count(*) as rows,"
        f" coalesce(cast({every_row} as text), '[]') as body"
        f" from (select {_columns(function, shape)} from answer{_order(function, shape)}"
        " limit :limit offset :offset) as _page"
    )


def _given(function: PublicFunction, arguments: Arguments) -> str:
    """A relation of one row: the arguments, in their types.

    Postgres reads the values itself, so that it takes what it always takes: a vector as an array
    of numbers or as text.
    """
    if not arguments.names:
        return "(select) as given"
    types = [(_quoted(name), function.arguments[name].type) for name in arguments.names]
    if arguments.object is None:
        casts = (f"cast(:text_{n} as {type}) as {name}" for n, (name, type) in enumerate(types))
        return f"(select {', '.join(casts)}) as given"
    fields = ", ".join(f"{name} {type}" for name, type in types)
    return f"pg_catalog.json_to_record(cast(:object as json)) as given ({fields})"


def _columns(function: PublicFunction, shape: Shape) -> str:
    chosen = shape.columns or tuple(Column(name) for name in function.columns)
    parts = []
    for column in chosen:
        part = f"answer.{_known(function, column.source)}"
        if column.cast is not None:
            if column.cast not in CASTS:
                raise CallRefused(400, "42704", f'type "{column.cast}" does not exist')
            part = f"cast({part} as {column.cast})"
        parts.append(f"{part} as {_quoted(column.alias or column.source)}")
    return ", ".join(parts)


def _order(function: PublicFunction, shape: Shape) -> str:
    parts = []
    for order in shape.order:
        part = f"answer.{_known(function, order.column)}{' desc' if order.descending else ''}"
        if order.nulls_first is not None:
            part += " nulls first" if order.nulls_first else " nulls last"
        parts.append(part)
    return f" order by {', '.join(parts)}" if parts else ""


def _known(function: PublicFunction, column: str) -> str:
    """The column's name in quotes. Raises CallRefused if the function has none of this name."""
    if column in function.columns:
        return _quoted(column)
    near = difflib.get_close_matches(column, function.columns, n=1)
    raise CallRefused(
        400,
        "42703",
        f"column {function.name}.{column} does not exist",
        hint=f'Perhaps you meant to reference the column "{function.name}.{near[0]}".'
        if near
        else None,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _execute(tx: Connection, query: sa.TextClause, values: Mapping[str, Any]) -> sa.Row[Any]:
    try:
        return tx.execute(query, values).one()
    except sa.exc.DBAPIError as error:
        cause = error.orig
        if not isinstance(cause, psycopg.Error) or error.connection_invalidated:
            raise
        refused = _refused(cause)
        if refused is None:
            raise
        raise refused from error


def _refused(error: psycopg.Error) -> CallRefused | None:
    """What PostgREST would say; None if the fault is not the call's."""
    code = error.sqlstate
    status = None if code is None else status_of(code)
    if code is None or status is None:
        return None
    said = error.diag
    return CallRefused(
        status,
        code,
        said.message_primary or str(error),
        details=said.message_detail,
        hint=said.message_hint,
    )


def status_of(code: str) -> int | None:
    """The HTTP status of an SQLSTATE, as PostgREST maps it; None for what is nobody's input.

    Two differ, because they are no unexpected errors here: a statement that ran out of time (504,
    there 500) and a limit of a program that an argument crosses, as a vector too long (400, there
    500).
    """
    if code.startswith("PT") and code[2:].isdigit() and 400 <= int(code[2:]) < 600:
        return int(code[2:])
    if code in STATUSES:
        return STATUSES[code]
    return STATUSES_OF_CLASSES.get(code[:2], 400)


STATUSES: Mapping[str, int] = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42501": 403,
    "42883": 404,
    "42P01": 404,
    "57014": 504,
    "P0001": 400,
}
# None: the connection, the server or its configuration; that is for the log, not for the caller.
STATUSES_OF_CLASSES: Mapping[str, int | None] = dict.fromkeys(
    ("08", "09", "25", "2D", "38", "39", "3B", "40", "53", "55", "57", "58", "F0", "HV", "P0", "XX")
) | dict.fromkeys(("0L", "0P", "28"), 403)

"""The public SQL functions, as the database's own catalog has them."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from scenebook.db.engine import Database, statement
from scenebook.errors import ScenebookError

# A database may be migrated under a running process; an unknown name looks again this often.
LOOK_AGAIN_S = 10.0


class CallRefused(ScenebookError):
    """A call that is refused in PostgREST's words: code, message, details and hint."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.details = details
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument's SQL type, and whether it has no default."""

    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class PublicFunction:
    """A function of the schema public that owners may call; arguments and columns by name."""

    name: str
    read_only: bool
    arguments: Mapping[str, Argument]
    columns: tuple[str, ...]


class PublicFunctions:
    """The functions that may be called, as the database's own catalog has them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._known: Mapping[str, PublicFunction] = {}
        self._read_at = float("-inf")

    def all(self) -> Mapping[str, PublicFunction]:
        """Every function by its name."""
        with self._lock:
            return self._known or self._read()

    def find(self, name: str, given: Collection[str]) -> PublicFunction:
        """The function of this name that takes these arguments. Raises CallRefused (404)."""
        found = self.all().get(name)
        if found is None:
            with self._lock:
                if time.monotonic() - self._read_at > LOOK_AGAIN_S:
                    found = self._read().get(name)
        if found is not None and _takes(found, given):
            return found
        raise self._unknown(name, given, found)

    def _read(self) -> Mapping[str, PublicFunction]:
        with self._db.across_owners() as tx:
            rows = tx.execute(statement("rpc/functions")).all()
        self._known = {row.name: _function(row) for row in rows}
        self._read_at = time.monotonic()
        return self._known

    def _unknown(
        self, name: str, given: Collection[str], near: PublicFunction | None
    ) -> CallRefused:
        if near is None:
            close = difflib.get_close_matches(name[:100], self._known, n=1)
            near_text = f"public.{close[0]}" if close else None
        else:
            near_text = f"public.{name}({', '.join(near.arguments)})"
        with_names = f"({', '.join(sorted(given))})" if given else " without parameters"
        names = f"with parameters {', '.join(sorted(given))}" if given else "without parameters"
        return CallRefused(
            404,
            "PGRST202",
            f"Could not find the function public.{name}{with_names} in the schema cache",
            details=f"Searched for the function public.{name} {names}, but no matches were found "
            "in the schema cache.",
            hint=f"Perhaps you meant to call the function {near_text}" if near_text else None,
        )


def _function(row: sa.Row[Any]) -> PublicFunction:
    return PublicFunction(
        name=row.name,
        read_only=row.read_only,
        arguments={
            field["name"]: Argument(field["type"], field["required"])
            for field in row.fields
            if field["is_argument"]
        },
        columns=tuple(field["name"] for field in row.fields if field["is_column"]),
    )


def _takes(function: PublicFunction, given: Collection[str]) -> bool:
    required = {name for name, argument in function.arguments.items() if argument.required}
    return required <= set(given) <= function.arguments.keys()

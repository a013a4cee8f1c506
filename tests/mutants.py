"""Mutants of our SQL: each with one predicate less that keeps owners, runs or generations apart.

A predicate becomes `true` where it stands, in the text: sqlglot does not read the bodies of
functions, and a constant is valid wherever a comparison is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scenebook.db import engine, schema

STATEMENTS = Path(engine.__file__).parent / "sql"

# What keeps things apart, by kind.
PREDICATES = {
    "owner": re.compile(
        r"\b(?:\w+\.)?owner_id = (?::owner_id|filter_user_id|owner|%3\$L|\w+\.owner_id)(?![\w.])"
        r"|\(s\.space_id, s\.owner_id\) [<>]= \(space, filter_user_id\)"
        r"|\bfilter_user_id is null\b"
        r"|(?<![.\w])id = :owner_id\b"
        r"|\bo\.id = :owner_id\b"
    ),
    "generation": re.compile(
        r"\b(?:\w+\.)?generation (?:=|<|>=) (?::generation|\w+\.generation)\b"
    ),
    "deleting": re.compile(r"\b(?:\w+\.)?status <> 'deleting'"),
    "fence": re.compile(
        r"\b(?:\w+\.)?(?:lease_token|attempt|writer|received|locked_until) = :\w+"
        r"|(?<![:\w.])(?:\w+\.)?state (?:= '\w+'|in \([^)]*\))"
        r"|\b(?:\w+\.)?(?:run_at|next_at) <= now\(\)"
        r"|\b(?:\w+\.)?(?:lease_until|locked_until) < now\(\)"
        r"|\bnot (?:\w+\.)?cancel_requested"
        r"|\b(?:\w+\.)?status is null"
        r"|\b(?:\w+\.)?status = '(?:uploading|waiting)'"
        r"|\b(?:\w+\.)?status <> 'active'"
    ),
}

WRITES = re.compile(r"^(?:insert|update|delete)\b|\bfor (?:no key )?update\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A statement or function without one predicate, or without all of a kind."""

    source: str
    kind: str
    predicate: str
    place: int  # of the predicate among those of its kind that read the same
    sql: str

    @property
    def name(self) -> str:
        """As the list of those that may live names it."""
        return f"{self.source}: {self.predicate}" + (f" #{self.place + 1}" if self.place else "")


def statements() -> dict[str, str]:
    """Every statement by its name."""
    return {
        path.relative_to(STATEMENTS).with_suffix("").as_posix(): path.read_text("utf-8")
        for path in sorted(STATEMENTS.rglob("*.sql"))
    }


def functions() -> dict[str, str]:
    """Every function's file by its name in the catalog."""
    found = {}
    for name, sql in schema.functions():
        created = re.search(r"create or replace function (\w+)\." + name, sql)
        assert created, name
        found[f"{created[1]}.{name}"] = sql
    return found


def predicates(sql: str, kind: str) -> list[re.Match[str]]:
    """The predicates of this kind, without what is assigned or stands in a comment."""
    if kind == "fence" and not WRITES.search(sql):
        return []  # what is only looked at fences nobody off
    return [
        one
        for one in PREDICATES[kind].finditer(sql)
        if sql[one.end() : one.end() + 1] != ","
        and "--" not in sql[sql.rfind("\n", 0, one.start()) + 1 : one.start()]
    ]


def kinds(sql: str) -> set[str]:
    """What the statement keeps apart."""
    return {kind for kind in PREDICATES if predicates(sql, kind)}


def mutants_of(source: str, sql: str) -> Iterator[Mutant]:
    """One mutant a predicate."""
    for kind in PREDICATES:
        seen: dict[str, int] = {}
        for one in predicates(sql, kind):
            place = seen.setdefault(one[0], 0)
            seen[one[0]] += 1
            without = "false" if one[0].endswith("is null") and kind == "owner" else "true"
            yield Mutant(
                source, kind, one[0], place, sql[: one.start()] + without + sql[one.end() :]
            )


def without_owner(source: str, sql: str) -> Mutant:
    """The mutant without any predicate on the owner."""
    for one in reversed(predicates(sql, "owner")):
        if not one[0].endswith("is null"):
            sql = sql[: one.start()] + "true" + sql[one.end() :]
    return Mutant(source, "owner", "every predicate on the owner", 0, sql)

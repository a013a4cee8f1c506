"""Every predicate that keeps owners, generations or runs apart is needed: without it one leaks.

Row security is out of the way here, so that the predicates themselves are seen to work. A statement
is asked in two worlds, without and with what must not be seen; it says and does the same in both.
Each mutant, which lacks one predicate, is found out by these checks or is listed with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from tests import matrix
from tests.bindings import Values, values_of, ways
from tests.conftest import ALICE
from tests.fences import FENCES, Try
from tests.mutants import Mutant, functions, kinds, mutants_of, statements, without_owner
from tests.postgres import Server
from tests.survivors import ACROSS, BARE, BY_CHANCE, SURVIVORS, TOLD
from tests.worlds import (
    Ids,
    Outcome,
    World,
    a_world,
    add_deleted,
    add_generation,
    add_strangers,
    argument_types,
    make_base,
)

STATEMENTS = statements()
FUNCTIONS = functions()
MUTANTS = [
    mutant
    for source, sql in {**STATEMENTS, **FUNCTIONS}.items()
    for mutant in mutants_of(source, sql)
]
# What each world has that the first has not, and the kind of predicate that hides it.
WORLDS = {
    "strangers": "owner", "older": "generation", "newer": "generation", "deleted": "deleting",
}  # fmt: skip


@dataclass
class Worlds:
    """The world of one owner alone, and those with more in them."""

    base: World
    own: Ids
    others: Mapping[str, tuple[World, Ids]]

    def __post_init__(self) -> None:
        self._answers: dict[tuple[str, str], Outcome] = {}

    @cached_property
    def types(self) -> Mapping[str, Mapping[str, str]]:
        """The types of the arguments of every function."""
        return argument_types(self.base.raw)

    def asked(self, source: str, sql: str, world: str) -> Iterator[tuple[str, Values]]:
        """The statement, or the call of the function, in every way that the world is asked."""
        theirs = self.others[world][1]
        if source in STATEMENTS:
            for values in ways(source, set(text(sql).compile().params), self.own, theirs):
                if WORLDS[world] == "generation":  # readers see one, whatever ids they have
                    values["generation"] = self.own.generation
                yield sql, values
            return
        for arguments in _calls(source, theirs, self.own):
            passed = ", ".join(
                f"{one} => cast(:{one} as {self.types[source][one]})" for one in arguments
            )
            yield f"select * from {source}({passed})", Values(arguments)

    def differs(self, source: str, sql: str, world: str, *, mutant: str | None = None) -> str:
        """How a statement tells the world from the first; empty if it does not."""
        there = self.others[world][0]
        with there.undone():
            if mutant is not None and source in FUNCTIONS:
                there.raw.execute(mutant.encode())
            for asked, values in self.asked(source, sql, world):
                told = self._answer(self.base, asked, values)
                changed = mutant if mutant is not None and source in STATEMENTS else asked
                got = there.try_out(changed, values)
                if told != got and not (told.nothing and got.nothing):
                    return f"{source} in the world with {world}: {got} instead of {told}"
        return ""

    def _answer(self, world: World, sql: str, values: Values) -> Outcome:
        key = (sql, repr(sorted(values.items(), key=str)))
        if key not in self._answers:
            self._answers[key] = world.try_out(sql, values)
        return self._answers[key]

    def accepts_nobody(self, mutant: Mutant) -> bool:
        """Whether a mutant function that checks its owner goes on without one."""
        if not mutant.predicate.endswith("is null"):
            return False
        arguments = next(iter(_calls(mutant.source, self.own, self.own))) | {"filter_user_id": None}
        passed = ", ".join(
            f"{one} => cast(:{one} as {self.types[mutant.source][one]})" for one in arguments
        )
        asked = f"select * from {mutant.source}({passed})"
        refused = self.base.try_out(asked, arguments)
        with self.base.undone():
            self.base.raw.execute(mutant.sql.encode())
            return refused.error == "PT400" and self.base.try_out(asked, arguments).error is None

    def as_it_is(self, source: str, one: Try) -> Outcome:
        """What the statement does, without a change, in that state."""
        key = (source, repr(one))
        if key not in self._answers:
            self._answers[key] = self.fenced(source, one, STATEMENTS[source])
        return self._answers[key]

    def fenced(self, source: str, one: Try, sql: str) -> Outcome:
        """What the statement does in the first world, once it is in that state."""
        with self.base.undone():
            values = Values(values_of(source, self.own, of=self.own) | one.values)
            self.base.tx.execute(text(one.state or "select 1"), values)
            self.base.look()
            try:
                return self.base.try_out(sql, values)
            finally:
                self.base.before.clear()


def _calls(name: str, theirs: Ids, own: Ids) -> Iterator[dict[str, Any]]:
    if name == "scenebook.fill_search_text":  # it has only the row that is written
        return
    for a in (theirs, own):
        for asked in matrix.calls(name, a, own):  # type: ignore[arg-type]
            if asked["filter_user_id"] == own.owner_id:
                yield asked
    yield from FURTHER.get(name, ())


# Ways through a function that the matrix of arguments does not take.
_NEAREST = {
    "space": 1, "query_embeddings": [matrix.direction("visual_clip")], "match_offset": 0,
    "filter_user_id": ALICE,
}  # fmt: skip
FURTHER: Mapping[str, list[dict[str, Any]]] = {
    # By the owner's own index, by that index in vain, and all vectors.
    "scenebook.nearest_in_space": [
        _NEAREST | {"match_threshold": 0.9, "match_count": 3},
        _NEAREST | {"match_threshold": -1, "match_count": 100},
        _NEAREST | {"match_threshold": -1, "match_count": 100, "match_offset": 1},
    ],
    "scenebook.corrected_words": [{"query_text": "pickel", "filter_user_id": ALICE}],
}


@pytest.fixture(scope="module")
def worlds(postgres_server: Server) -> Iterator[Worlds]:
    """Databases that are clones of the first, each with something more."""
    with postgres_server.database() as url:
        with psycopg.connect(url) as raw:
            own = make_base(raw)
        template = make_url(url).database or ""
        with (
            postgres_server.database(template=template) as strangers,
            postgres_server.database(template=template) as older,
            postgres_server.database(template=template) as newer,
            postgres_server.database(template=template) as deleted,
        ):
            others = {}
            for name, there, add in (
                ("strangers", strangers, add_strangers),
                ("older", older, lambda raw: add_generation(raw, own, 1)),
                ("newer", newer, lambda raw: add_generation(raw, own, 3)),
                ("deleted", deleted, add_deleted),
            ):
                with psycopg.connect(there) as raw:
                    others[name] = (there, add(raw))
            with (
                a_world(url) as base,
                a_world(strangers) as one,
                a_world(older) as two,
                a_world(newer) as three,
                a_world(deleted) as four,
            ):
                made = dict(zip(others, (one, two, three, four), strict=True))
                yield Worlds(
                    base, own, {name: (made[name], ids) for name, (_, ids) in others.items()}
                )


def hidden_from(source: str, sql: str) -> Iterator[str]:
    """The worlds that a statement must not be able to tell from the first."""
    if source in ACROSS:
        return
    yield "strangers"
    for world, kind in WORLDS.items():
        if kind != "owner" and kind in kinds(sql):
            # What goes by generations acts on the older ones, or on the newer.
            if world == "older" and "generation < " in sql:
                continue
            if world == "newer" and "generation >= " in sql:
                continue
            yield world


def test_every_statement_names_its_owner_or_is_listed(worlds: Worlds) -> None:
    without = {
        name for name, sql in STATEMENTS.items() if "owner_id" not in text(sql).compile().params
    }
    assert without == set(ACROSS)


def test_nothing_tells_what_is_not_to_be_seen(worlds: Worlds) -> None:
    told = [
        difference
        for source, sql in {**STATEMENTS, **FUNCTIONS}.items()
        for world in hidden_from(source, sql)
        if (source, world) not in TOLD
        if (difference := worlds.differs(source, sql, world))
    ]
    assert not told, "\n".join(told)


def test_who_has_lost_a_thing_changes_nothing(worlds: Worlds) -> None:
    for source, (good, *stale) in FENCES.items():
        assert not worlds.fenced(source, good, STATEMENTS[source]).nothing, source
        for one in stale:
            got = worlds.fenced(source, one, STATEMENTS[source])
            assert got.nothing, (source, one, got)


def test_without_all_predicates_on_the_owner_a_statement_leaks(worlds: Worlds) -> None:
    alive = {
        source
        for source, sql in {**STATEMENTS, **FUNCTIONS}.items()
        if source not in ACROSS
        and (bare := without_owner(source, sql)).sql != sql
        and not found_out(worlds, bare)
    }
    assert alive == BARE


def found_out(worlds: Worlds, mutant: Mutant) -> bool:
    """Whether one of the checks above fails for the mutant."""
    source, sql = mutant.source, {**STATEMENTS, **FUNCTIONS}[mutant.source]
    likely = sorted(hidden_from(source, sql), key=lambda world: WORLDS[world] != mutant.kind)
    return (
        any(worlds.differs(source, sql, world, mutant=mutant.sql) for world in likely)
        or any(
            worlds.fenced(source, one, mutant.sql) != worlds.as_it_is(source, one)
            for one in FENCES.get(source, ())
        )
        or worlds.accepts_nobody(mutant)
    )


def test_without_any_one_predicate_something_fails(worlds: Worlds, record_property: Any) -> None:
    alive = [mutant for mutant in MUTANTS if not found_out(worlds, mutant)]
    names = {mutant.name for mutant in alive} | {mutant.source for mutant in alive}
    listed = set(SURVIVORS) | BY_CHANCE
    unlisted = [one.name for one in alive if not {one.name, one.source} & listed]
    assert unlisted == []
    assert set(SURVIVORS) - names == set(), "these are found out, or are no more"
    kinds_of = Counter(mutant.kind for mutant in MUTANTS)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds_of.items())
    line = f"mutants of SQL: {len(MUTANTS)} ({told}); {len(alive)} listed as harmless, 0 unlisted"
    record_property("table", [line])

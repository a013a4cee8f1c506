"""Every SQL function, relation, route and signed URL, asked by one owner for another's things.

What is in the catalog or in the application and not in tests/matrix.py fails here by its name.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event

from scenebook.signing import Signer, secret_of
from tests.conftest import ALICE, BOB
from tests.matrix import (
    ALIASES,
    ALL,
    BLIND,
    FUNCTIONS,
    NEVER,
    NOTHING,
    OPEN,
    OPERATORS_ONLY,
    OWN,
    RELATIONS,
    ROUTES,
    SILENT,
    TEXT,
    calls,
    request_of,
    routes_of,
)
from tests.postgres import Server, session
from tests.serving import headers_of
from tests.tenants import (
    Tenants,
    Things,
    a_film,
    as_a_stranger,
    everything_of,
    fill_everything,
    posted,
    relations,
    two_tenants,
)

# What differs between two answers that say the same.
MASKS = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"(token=|_token\": ?\")[\w.-]+"), "<token>"),
    (re.compile(r"(whsec_|sbk_)[\w+/=-]*"), "<secret>"),
    (re.compile(r"\"timing_ms\":\{.*?\}\},?"), ""),
    (re.compile(r"\"eta_s\":[0-9.]+"), ""),
)
HEADERS = ("content-type", "content-range", "location", "idempotency-replayed", "upload-offset")


class Recorder(Signer):
    """The service's signer, which remembers what it signed last, by owner and purpose."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self.signed: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def sign(self, purpose: str, content: Mapping[str, Any], *, ttl_s: int) -> str:
        """As the service's does."""
        self.signed[content["o"]][purpose] = dict(content)
        return super().sign(purpose, content, ttl_s=ttl_s)


@pytest.fixture(scope="module")
def tenants(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with (
        postgres_server.database() as url,
        two_tenants(url, tmp_path_factory.mktemp("data")) as made,
    ):
        services = made.api.app.state.services  # type: ignore[attr-defined]
        services.signer = Recorder(secret_of(made.settings))
        use_everything(made, ALICE)
        services.search_log.close()  # it writes behind the answers
        before = everything_of(made, ALICE)
        yield made
        assert everything_of(made, ALICE) == before, "something of Alice's was changed"


@pytest.fixture
def alices(tenants: Tenants) -> Things:
    return tenants.things[ALICE]


@pytest.fixture
def bobs(tenants: Tenants) -> Things:
    return tenants.things[BOB]


def masked(text: str) -> str:
    """The text without what cannot be the same twice."""
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def none_of(text: str, things: Things, *, asked: str = "") -> None:
    """Nothing of these things is in the text, but what was asked for by its id."""
    for name, one in things.named().items():
        assert str(one) not in text or str(one) in asked, f"{name} in {text[:300]}"


# --- SQL ------------------------------------------------------------------------------------------


def types_of(url: str) -> dict[str, dict[str, str]]:
    """The arguments with their types of every function that `authenticated` may call."""
    query = (
        "select n.nspname || '.' || p.proname, p.proargnames,"
        " array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a (t, i)"
        " order by i) from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
        " where n.nspname in ('public', 'scenebook', 'auth')"
        " and has_function_privilege('authenticated', p.oid, 'execute')"
        " and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')"
    )
    with psycopg.connect(url) as connection:
        return {
            name: dict(zip(names or (), types, strict=False))
            for name, names, types in connection.execute(query)
        }


def outcome(url: str, name: str, types: dict[str, str], asked: dict[str, Any], caller: UUID) -> str:
    """The rows that a function answers, or its error, as text."""
    passed = ", ".join(f"{one} => %({one})s::{types[one]}" for one in asked)
    with session(url, role="authenticated", owner=caller) as connection:
        try:
            rows = connection.execute(f"select * from {name}({passed})", asked).fetchall()
        except psycopg.Error as error:
            return f"{error.sqlstate} {error.diag.message_primary} {error.diag.message_hint}"
    return "" if all(one in (None, []) for row in rows for one in row) else repr(rows)


def test_every_sql_function_and_relation_is_in_the_matrix(tenants: Tenants) -> None:
    assert set(types_of(tenants.url)) == set(FUNCTIONS)
    with psycopg.connect(tenants.url) as connection:
        assert set(relations(connection, "rvmpfS")) == set(RELATIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_answers_for_another_owners_things_as_for_none(
    tenants: Tenants, alices: Things, bobs: Things, name: str
) -> None:
    types = types_of(tenants.url)[name]
    nobodys = Things.unknown()
    for hers, none in zip(calls(name, alices, bobs), calls(name, nobodys, bobs), strict=True):
        got = outcome(tenants.url, name, types, hers, BOB)
        assert masked(got) == masked(outcome(tenants.url, name, types, none, BOB))
        none_of(got, alices)
        if hers.get("filter_user_id") == ALICE and name not in BLIND:
            assert got == "" or got[:2] in ("PT", "42"), (name, got[:200])
    his = [outcome(tenants.url, name, types, one, BOB) for one in calls(name, bobs, bobs)]
    assert name in SILENT or any(one.startswith("[") for one in his), his


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_shows_the_own_rows_only_and_none_can_be_written(
    tenants: Tenants, alices: Things, name: str
) -> None:
    with session(tenants.url, role="authenticated", owner=BOB) as connection:
        rights = "array['insert', 'update', 'delete', 'truncate']"
        if not name.endswith(("_seq", "lease_tokens")):
            row = connection.execute(
                f"select bool_or(has_table_privilege(%s, one)) from unnest({rights}) as one",
                (name,),
            ).fetchone()
            assert row == (False,)
        if RELATIONS[name] == NOTHING:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {name}")
            return
        rows = connection.execute(f"select one::text from {name} as one").fetchall()
        assert rows
        assert RELATIONS[name] in (OWN, ALL)
        none_of(str(rows), alices)


# --- routes ---------------------------------------------------------------------------------------


def answer_of(tenants: Tenants, request: dict[str, Any], caller: UUID | None) -> Any:
    if caller is None:
        return as_a_stranger(tenants, **request)
    headers = request.get("headers", {}) | headers_of(caller)
    return tenants.api.request(**request | {"headers": headers})


def statements_of(tenants: Tenants, request: dict[str, Any]) -> list[str]:
    """What a request of Bob's makes the API ask the database."""
    asked: list[str] = []

    def note(_c: Any, _x: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = tenants.api.app.state.services.db.engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", note)
    try:
        answer_of(tenants, request, BOB)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    # Who the caller is the door remembers for some seconds, whatever is asked for.
    return [one for one in asked if "set_config" not in one and "public.owners" not in one]


def said(answer: Any) -> tuple[Any, ...]:
    headers = [masked(answer.headers.get(name, "")) for name in HEADERS]
    return answer.status_code, masked(answer.text), headers


def test_every_route_is_in_the_matrix(tenants: Tenants) -> None:
    known = {*ROUTES, *ALIASES, *OPERATORS_ONLY, *NEVER, *OPEN}
    assert routes_of(tenants.api.app) == known  # type: ignore[arg-type]


@pytest.mark.parametrize("route", [*ROUTES, *ALIASES, *OPERATORS_ONLY, *NEVER])
def test_a_route_answers_for_another_owners_things_as_for_none(
    tenants: Tenants, alices: Things, bobs: Things, route: str
) -> None:
    row = {**ROUTES, **ALIASES, **OPERATORS_ONLY, **NEVER}[route]
    nobodys = Things.unknown()
    for one, other in zip(row(alices, bobs), row(nobodys, bobs), strict=True):
        hers, none = request_of(route, one, alices), request_of(route, other, nobodys)
        got = answer_of(tenants, hers, BOB)
        assert said(got) == said(answer_of(tenants, none, BOB))
        none_of(got.text, alices, asked=str(hers))
        assert got.status_code < 500
        assert (got.status_code == 403) is (route in OPERATORS_ONLY)
        for request, things in ((hers, alices), (none, nobodys)):
            refused = answer_of(tenants, request, None)
            assert refused.status_code == 401
            none_of(refused.text, things)
        if "_id}" in route:  # as long as the same is done, nobody learns from how long it takes
            assert statements_of(tenants, hers) == statements_of(tenants, none)


@pytest.mark.parametrize("route", sorted(OPEN))
def test_an_open_route_says_nothing_of_owners(
    tenants: Tenants, alices: Things, bobs: Things, route: str
) -> None:
    method, _, path = route.partition(" ")
    got = tenants.api.request(method, path)
    # The two are directories of files.
    assert got.status_code < 300 or path in ("/static-offline-docs", "/assets")
    none_of(got.text, alices)
    none_of(got.text, bobs)


def test_the_same_bytes_as_anothers_are_new_ones(tenants: Tenants) -> None:
    for owner in (ALICE, UUID(int=7)):
        made = posted(tenants.api, UUID(int=8), "/v1/videos", **a_film(owner))
        assert made["created"] is True


# --- signed URLs and page tokens ------------------------------------------------------------------


def a_search(token: str | None) -> dict[str, Any]:
    """A search whose first hit is a page."""
    body = {"text": TEXT, "limit": 1, "page_token": token}
    return {"method": "POST", "url": "/v1/search", "json": body}


# How the token of each purpose is used.
TOKENS: dict[str, Callable[[Things, str], dict[str, Any]]] = {
    "keyframe": lambda one, token: _get(f"/v1/keyframes/{one.keyframe_id}", token=token),
    "stream": lambda one, token: _get(f"/v1/videos/{one.video_id}/stream", token=token),
    "events": lambda one, token: _get(f"/v1/videos/{one.video_id}/events", token=token),
    "videos": lambda one, token: _get("/v1/videos", page_token=token),
    "scenes": lambda one, token: _get(f"/v1/videos/{one.video_id}/scenes", page_token=token),
    "deliveries": lambda one, token: _get(
        f"/v1/webhooks/{one.endpoint_id}/deliveries", page_token=token
    ),
    "search": lambda one, token: a_search(token),
}
# A URL stands for its owner by itself; a page belongs to a caller.
MEDIA = {"keyframe": "keyframe_id", "stream": "video_id", "events": "video_id"}


def _get(url: str, **params: str) -> dict[str, Any]:
    return {"method": "GET", "url": url, "params": params | {"limit": "1"}}


def use_everything(tenants: Tenants, owner: UUID) -> None:
    """Read all that the owner has, page by page, so that everything there is to sign is signed."""
    things = tenants.things[owner]
    posted(tenants.api, owner, f"/v1/webhooks/{things.endpoint_id}/test")
    for route, row in ROUTES.items():
        if route.startswith("GET") and "{function}" not in route:
            request = request_of(route, row(things, things)[0], things)
            request["params"] = request.get("params", {}) | {"limit": 1}
            assert answer_of(tenants, request, owner).is_success, route
    assert answer_of(tenants, a_search(None), owner).is_success


def recorder_of(tenants: Tenants) -> Recorder:
    signer = tenants.api.app.state.services.signer  # type: ignore[attr-defined]
    assert isinstance(signer, Recorder)
    return signer


def test_every_purpose_of_a_signed_text_is_in_the_matrix(tenants: Tenants) -> None:
    assert set(recorder_of(tenants).signed[str(ALICE)]) == set(TOKENS)


@pytest.mark.parametrize("purpose", TOKENS)
def test_a_signed_text_is_of_one_purpose_one_thing_one_owner_and_one_hour(
    tenants: Tenants, alices: Things, bobs: Things, purpose: str
) -> None:
    use, signer = TOKENS[purpose], recorder_of(tenants)
    secret, contents = secret_of(tenants.settings), signer.signed[str(ALICE)]
    content, media = contents[purpose], purpose in MEDIA
    if media:
        content = {"o": str(ALICE), "i": str(alices.named()[MEDIA[purpose]])}

    def refused(token: str, things: Things = alices, caller: UUID | None = ALICE) -> Any:
        answer = answer_of(tenants, use(things, token), caller)
        none_of(answer.text, alices)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"]

    token = signer.sign(purpose, content, ttl_s=60)
    assert answer_of(tenants, use(alices, token), None if media else ALICE).is_success
    wrong = (401 if media else 400, "invalid_token")
    for changed in (f"A{token}", token[:-1], token + "=", token.replace(".", ""), "", "x.y", "é"):
        assert refused(changed) == wrong, changed
    assert refused(Signer(b"another secret" * 4).sign(purpose, content, ttl_s=60)) == wrong
    for other, of_other in contents.items():
        if other != purpose:
            assert refused(signer.sign(other, of_other, ttl_s=60)) == wrong, other
    past = Signer(secret, clock=lambda: time.time() - 7200)
    assert refused(past.sign(purpose, content, ttl_s=3600)) == (410, "expired")
    for things in (alices, bobs):
        if not media:
            assert refused(token, things, BOB) == wrong
    if media:
        # Bob's own URL, were it of something of Alice's: as of something that nobody has.
        assert refused(token, bobs, BOB) == wrong
        of_bob = signer.sign(purpose, content | {"o": str(BOB)}, ttl_s=60)
        answer = answer_of(tenants, use(alices, of_bob), None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# --- and the same requests are good ones, for what is the caller's own ----------------------------


def seen_by(tenants: Tenants, things: Things) -> dict[str, Any]:
    """All that an owner reads of the own things, with counts, totals and entity tags."""
    seen = {}
    for route in sorted(ROUTES):
        if route.startswith("GET") and "{function}" not in route and "/events" not in route:
            for asked in ROUTES[route](things, things):
                got = answer_of(tenants, request_of(route, asked, things), things.owner_id)
                tag = got.headers.get("etag")
                seen[f"{route} {asked}"] = (said(got), tag, got.headers.get("content-length"))
    return seen


def test_what_another_owner_adds_changes_no_answer(tenants: Tenants, bobs: Things) -> None:
    before = seen_by(tenants, bobs)
    for number in (9, 10):
        fill_everything(tenants, UUID(int=number))
    after = seen_by(tenants, bobs)
    assert {one: after[one] for one in after if after[one][:2] != before[one][:2]} == {}


def test_what_is_the_callers_own_is_found_by_every_row(
    tenants: Tenants, alices: Things, bobs: Things, record_property: Any
) -> None:
    """Last: it ends with Bob's things deleted."""
    functions = sum(len(list(calls(name, alices, bobs))) for name in FUNCTIONS)
    asked = sum(len(row(alices, bobs)) for row in (*ROUTES.values(), *ALIASES.values()))
    refused = len(TOKENS) * (9 + len(TOKENS)) + 2 * (len(TOKENS) - len(MEDIA)) + 2 * len(MEDIA)
    total = 2 * functions + len(RELATIONS) + 4 * asked + refused
    record_property(
        "table",
        [
            f"cross-owner walk: {total} checks over {len(ROUTES) + len(ALIASES)} routes,"
            f" {len(FUNCTIONS)} functions, {len(RELATIONS)} relations,"
            f" {len(TOKENS)} signed purposes; 0 leaks"
        ],
    )
    failed = []
    for route, row in ROUTES.items():
        for asked in row(bobs, bobs):
            answer = answer_of(tenants, request_of(route, asked, bobs), BOB)
            if not answer.is_success:
                failed.append((route, asked, answer.status_code, answer.text[:300]))
    assert not failed

"""The conventions of PostgREST, call by call, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from starlette.testclient import TestClient

from scenebook.api_keys import create_key
from scenebook.db.engine import Database, Role
from tests.pipelines import settings_for
from tests.postgres import Server
from tests.rows import EAST, NORTH, a_space, an_owner, between, scenes_with
from tests.serving import api_in_process, headers_of, token_of, with_tokens

CLIP = "search_scenes_by_visual_clip_embedding"
GRANTED = "grant execute on function public.{name} to authenticated, scenebook_api"
# Functions of the tests' own, granted as ours are.
MADE = {
    "refuse(text)": "create function public.refuse(code text) returns table (n integer)"
    " language plpgsql stable as $$ begin raise exception using errcode = code,"
    " message = 'said', detail = 'more', hint = 'do'; end $$",
    "echo(text[], jsonb, timestamptz, boolean, bigint, real)": "create function public.echo("
    "names text[], options jsonb, at timestamptz, yes boolean, big bigint, ratio real default 1)"
    " returns table (names_out text[], options_out jsonb, at_out timestamptz, yes_out boolean,"
    " big_out bigint, ratio_out real) language sql stable as"
    " $$ select names, options, at, yes, big, ratio $$",
    "who()": "create function public.who() returns table (role text, session text, sub uuid)"
    " language sql stable as $$ select current_user::text, (current_setting("
    "'request.jwt.claims')::jsonb ->> 'session_id'), auth.uid() $$",
    "writes()": "create function public.writes() returns table (n integer)"
    " language sql volatile as $$ select 1 $$",
    "many()": "create function public.many() returns table (n integer)"
    " language sql stable as $$ select generate_series(1, 2500) $$",
}
STATUSES = {
    "PT404": 404, "PT409": 409, "P0001": 400, "22P02": 400, "22023": 400, "23505": 409,
    "42501": 403, "42883": 404, "54000": 400, "57014": 504, "25006": 405,
}  # fmt: skip
STRANGE = (
    "create function public.strangers() returns table (n integer)"
    " language sql stable as $$ select 1 $$"
)


class Rpc:
    """Calls of one owner."""

    def __init__(self, api: TestClient, owner: UUID) -> None:
        self.api = api
        self.owner = owner
        self.headers = headers_of(owner)

    def post(
        self, function: str = CLIP, *, query: str = "", headers: Any = (), **arguments: Any
    ) -> Any:
        """A search near north, unless arguments say otherwise."""
        if function == CLIP:
            near = {"query_embedding": list(NORTH), "match_threshold": -1}
            arguments = near | {"filter_user_id": str(self.owner)} | arguments
        url = f"/rest/v1/rpc/{function}{query}"
        # As ASCII, so that halves of surrogate pairs can be sent.
        return self.send(json.dumps(arguments), url=url, **dict(headers))

    def send(
        self, content: bytes | str, *, url: str = f"/rest/v1/rpc/{CLIP}", **headers: str
    ) -> Any:
        """A body as it is."""
        sent = self.headers | {"Content-Type": "application/json"} | headers
        return self.api.post(url, content=content, headers=sent)


@dataclass(frozen=True, slots=True)
class House:
    """A database and its API. Alice has three scenes, the nearest to north first; Bob has none."""

    database_url: str
    api: TestClient
    alice: UUID
    bob: UUID
    scenes: list[UUID]


@pytest.fixture(scope="module")
def house(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directions = [NORTH, between(NORTH, EAST, weight=0.3), between(NORTH, EAST, weight=0.6)]
    with postgres_server.database() as url:
        with psycopg.connect(url) as connection:
            alice, bob = an_owner(connection), an_owner(connection)
            scenes = scenes_with(connection, directions, owner=alice, space=a_space(connection))
            for name, definition in MADE.items():
                connection.execute(definition)
                connection.execute(GRANTED.format(name=name))
            connection.execute(STRANGE)
        settings = settings_for(url, tmp_path_factory.mktemp("data"), clip_model_name="fake")
        with api_in_process(with_tokens(settings)) as api:
            yield House(url, api, alice, bob, scenes)


@pytest.fixture
def rpc(house: House) -> Rpc:
    return Rpc(house.api, house.alice)


def refusal(response: Any) -> tuple[int, str]:
    content = response.json()
    assert set(content) == {"code", "message", "details", "hint"}
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["proxy-status"] == f"PostgREST; error={content['code']}"
    return response.status_code, content["code"]


def test_pages_have_their_range_and_a_count_when_asked(rpc: Rpc) -> None:
    count = {"Prefer": "count=exact"}
    cases = [
        ("", {}, 200, "0-2/*"),
        ("", count, 200, "0-2/3"),
        ("?limit=2", count, 206, "0-1/3"),
        ("?limit=2&offset=1", {}, 200, "1-2/*"),
        ("?offset=3", count, 206, "*/3"),
        ("?limit=0", count, 206, "*/3"),
        ("", count | {"Range": "1-1", "Range-Unit": "items"}, 206, "1-1/3"),
        ("", {"Range": "2-"}, 200, "2-2/*"),
        ("?limit=1", {"Prefer": "count=planned"}, 206, "0-0/3"),
    ]
    for query, headers, status, content_range in cases:
        answer = rpc.post(query=query, headers=headers)
        assert (answer.status_code, answer.headers["content-range"]) == (status, content_range)
    beyond = rpc.post(query="?offset=4", headers=count)
    assert refusal(beyond) == (416, "PGRST103")
    assert "only 3 rows" in beyond.json()["details"]
    for query in ("?limit=-1", "?offset=-1"):
        assert refusal(rpc.post(query=query)) == (416, "PGRST103")
    assert refusal(rpc.post(headers={"Range": "5-2"})) == (416, "PGRST103")
    for query in ("?limit=ten", "?limit=1e3", f"?offset={'9' * 400}", "?limit=%00"):
        assert refusal(rpc.post(query=query)) == (400, "PGRST100")


def test_rows_are_capped(rpc: Rpc) -> None:
    answer = rpc.post("many", query="?limit=2000", headers={"Prefer": "count=exact"})
    assert (len(answer.json()), answer.headers["content-range"]) == (1000, "0-999/2500")
    rest = rpc.post("many", query="?offset=2000&limit=1000&order=n.desc")
    assert (rest.json()[0], len(rest.json())) == ({"n": 500}, 500)


def test_values_are_written_as_json_has_them(rpc: Rpc) -> None:
    given: dict[str, Any] = {
        "names": ["a", "b,c"], "options": {"deep": [1, None]}, "yes": True, "big": 2**53 + 1,
        "at": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    (row,) = rpc.post("echo", **given).json()
    assert row["at_out"].startswith("2026-01-02T03:04:05")
    assert row | {"at_out": None} == {
        "names_out": ["a", "b,c"], "options_out": {"deep": [1, None]}, "yes_out": True,
        "big_out": 2**53 + 1, "ratio_out": 1, "at_out": None,
    }  # fmt: skip
    query = {"names": '{a,"b,c"}', "options": '{"deep":[1,null]}', "yes": "true", "big": "1"}
    query["at"] = "2026-01-02T03:04:05Z"
    by_url = rpc.api.get("/rest/v1/rpc/echo", params=query, headers=rpc.headers)
    assert by_url.json()[0]["names_out"] == ["a", "b,c"]
    assert rpc.post("echo", query="?select=n:big_out::text", **given).json() == [
        {"n": str(2**53 + 1)}
    ]
    assert refusal(rpc.post("echo", query="?select=big_out::regclass", **given)) == (400, "42704")
    null = rpc.post("echo", **(given | {"options": None}), headers={
        "Accept": "application/vnd.pgrst.array+json;nulls=stripped"})  # fmt: skip
    assert "options_out" not in null.json()[0]


def test_a_function_runs_as_the_owner_with_the_claims_of_the_token(rpc: Rpc) -> None:
    assert rpc.post("who").json() == [
        {"role": "authenticated", "session": f"session-of-{rpc.owner}", "sub": str(rpc.owner)}
    ]


def test_an_api_key_is_its_owner(house: House) -> None:
    db = Database(house.database_url, role=Role.API, pool_size=1)
    secret = create_key(db, owner_id=house.alice, name="for tests").secret
    db.close()
    for name, value in (("Authorization", f"Bearer {secret}"), ("apikey", secret)):
        (row,) = house.api.post("/rest/v1/rpc/who", json={}, headers={name: value}).json()
        assert (row["role"], row["sub"]) == ("authenticated", str(house.alice))


def test_another_owner_finds_nothing_by_ones_id(rpc: Rpc, house: House) -> None:
    others = Rpc(rpc.api, house.bob)
    assert others.post(filter_user_id=str(rpc.owner)).json() == []
    similar: dict[str, Any] = {"to_scene_id": str(house.scenes[0]), "match_threshold": -1}
    for owner in (rpc.owner, house.bob):
        answer = others.post("find_similar_scenes", **similar, filter_user_id=str(owner))
        assert answer.json() == []


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_postgres_codes_have_postgrests_statuses(code: str, status: int, rpc: Rpc) -> None:
    answer = rpc.post("refuse", code=code)
    assert refusal(answer) == (status, code)
    said = answer.json()
    assert (said["message"], said["details"], said["hint"]) == ("said", "more", "do")


def test_only_our_functions_exist(rpc: Rpc) -> None:
    for name in ("strangers", "vector_norm", "pg_sleep", "no_such", "scenes_nearest", "a%00b", '"'):
        assert refusal(rpc.post(name)) == (404, "PGRST202")
    unknown: dict[str, Any] = {"nonsense": 1, "\ud800": 2}
    wrong = rpc.post(**unknown)
    assert refusal(wrong) == (404, "PGRST202")
    assert f"public.{CLIP}(query_embedding, match_threshold" in wrong.json()["hint"]
    lacking = rpc.send("{}")
    assert refusal(lacking) == (404, "PGRST202")
    assert "without parameters" in lacking.json()["message"]


def test_a_function_that_comes_later_is_found(
    rpc: Rpc, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(rpc.post("later")) == (404, "PGRST202")
    monkeypatch.setattr("scenebook.public_functions.LOOK_AGAIN_S", 0.0)
    with psycopg.connect(house.database_url) as connection:
        connection.execute(STRANGE.replace("strangers", "later"))
        connection.execute(GRANTED.format(name="later()"))
    assert rpc.post("later").json() == [{"n": 1}]


def test_a_function_that_writes_is_posted(rpc: Rpc) -> None:
    assert rpc.post("writes").json() == [{"n": 1}]
    refused = rpc.api.get("/rest/v1/rpc/writes", headers=rpc.headers)
    assert refusal(refused) == (405, "PGRST101")
    for method in ("PUT", "PATCH", "DELETE"):
        answer = rpc.api.request(method, f"/rest/v1/rpc/{CLIP}", headers=rpc.headers)
        assert refusal(answer) == (405, "PGRST101")
        assert "POST" in answer.headers["allow"]


def test_tables_are_not_served(rpc: Rpc) -> None:
    for path, code in (("scenes", "PGRST205"), ("", "PGRST125"), ("rpc/a/b", "PGRST125")):
        for method in ("GET", "POST", "DELETE"):
            answer = rpc.api.request(method, f"/rest/v1/{path}", headers=rpc.headers)
            assert refusal(answer) == (404, code)
        assert rpc.api.get(f"/rest/v1/{path}").status_code == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("select=scene_id from pg_user", "PGRST100"),
        ('select="scene_id"" from x"', "PGRST100"),
        ("select=scene_id::text); drop table scenes --", "PGRST100"),
        ('select=a":scene_id', "PGRST100"),
        ("select=scene_id->>x", "PGRST100"),
        ("select=scene_id,,video_id", "PGRST100"),
        ("select=ctid", "42703"),
        ("select=embedding", "42703"),
        ("select=videos(title)", "PGRST200"),
        ("select=...videos!inner(title)", "PGRST200"),
        ("select=similarity.sum()", "PGRST123"),
        ("select=count()", "PGRST123"),
        ("order=similarity;select 1", "PGRST100"),
        ("order=similarity.sideways", "PGRST100"),
        ("order=similarity.asc.nullsfirst.desc", "PGRST100"),
        ("order=1", "42703"),
        ("order=(select 1)", "PGRST100"),
        ("similarity=gt.0.5", "PGRST100"),
        ("similarity=not.is.null", "PGRST100"),
        ("or=(similarity.gt.0.5)", "PGRST100"),
        ("nonsense=1", "PGRST100"),
        ("videos.order=title", "PGRST108"),
    ],
)
def test_hostile_and_unsupported_queries_are_refused(query: str, code: str, rpc: Rpc) -> None:
    name, _, value = query.partition("=")
    for method in ("GET", "POST"):
        answer = rpc.api.request(
            method,
            f"/rest/v1/rpc/{CLIP}",
            params={name: value}
            | ({"query_embedding": "[1,0,0,0]", "filter_user_id": str(rpc.owner)}
               if method == "GET" else {}),
            json={"query_embedding": list(NORTH), "filter_user_id": str(rpc.owner)}
            if method == "POST" else None,
            headers=rpc.headers,
        )  # fmt: skip
        if method == "GET" and query == "nonsense=1":  # there it is an argument
            assert refusal(answer) == (404, "PGRST202")
        else:
            assert refusal(answer) == (400, code)


BAD: dict[str, list[Any]] = {
    "match_count": [0, -1, 10**6, 1.5, "x", 10**30, None, [], {}],
    "match_threshold": ["NaN", "1e999", "x", {}, None],
    "match_offset": [-1, 10**9, None],
    "filter_user_id": [None, "", "x", 7],
    "filter_video_id": ["x", "\0", "\ud800", "\ud800\udc00"],
    "filter_space_id": [0, 2**40],
    "query_embedding": [
        None, [], [0, 0, 0, 0], [1, 2], [1, 2, 3, "x"], [1] * 20_000, "[NaN,1,1,1]",
        "[1e39,1,1,1]", "no vector", {"a": 1}, [[1]], 7,
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_value_is_a_400_with_postgres_code(name: str, value: Any, rpc: Rpc) -> None:
    status, code = refusal(rpc.post(**{name: value}))
    assert status == 400
    assert code.startswith(("22", "PT400", "54000"))


def test_a_bad_body_is_a_400(rpc: Rpc) -> None:
    deep = '{"match_count":' + "[" * 50_000 + "]" * 50_000 + "}"
    digits = '{"match_count":' + "9" * 5_000 + "}"
    for body in ("{", "[]", "7", "null", '{"a":NaN}', '{"a":Infinity}', deep, b"\xff", digits):
        assert refusal(rpc.send(body)) == (400, "PGRST102")
    near = '"query_embedding":[1,0,0,0]'
    assert refusal(rpc.send(f'{{"match_threshold":1e999,{near}}}')) == (400, "22003")
    assert refusal(rpc.send('{"query_embedding":[1e999,0,0,0]}')) == (400, "22003")


def test_forms_that_there_are_not_are_refused(rpc: Rpc) -> None:
    for accept in ("text/csv", "application/geo+json", "application/vnd.pgrst.plan", "image/png"):
        assert refusal(rpc.post(headers={"Accept": accept})) == (406, "PGRST107")
    for accept in ("text/csv;q=0.9, application/json;q=0.1", "*/*", "application/json", ""):
        assert rpc.post(headers={"Accept": accept}).status_code == 200
    for kind in ("text/csv", "application/x-www-form-urlencoded", "text/plain"):
        assert refusal(rpc.send("{}", **{"Content-Type": kind})) == (415, "PGRST107")
    for name in ("Accept-Profile", "Content-Profile"):
        assert refusal(rpc.post(headers={name: "scenebook"})) == (406, "PGRST106")
    single = {"Prefer": "params=single-object"}
    assert refusal(rpc.post(headers=single)) == (400, "PGRST122")
    assert rpc.post(headers={"Prefer": "tx=rollback, return=minimal"}).status_code == 200


def test_who_is_not_signed_in_is_told_how_it_failed(rpc: Rpc) -> None:
    tokens = {
        None: "PGRST302",
        "no token": "PGRST301",
        token_of(rpc.owner, exp=1): "PGRST303",
        token_of(rpc.owner, role="anon"): "PGRST302",
        token_of(rpc.owner, aud="others"): "PGRST301",
    }
    for token, code in tokens.items():
        rpc.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = rpc.post()
        assert refusal(answer) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    rpc.headers = {"Authorization": f"Bearer {token_of(rpc.owner, role='service_role')}"}
    assert rpc.post().status_code == 403

"""Supabase's own Python client calls every public function of the running service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from postgrest.exceptions import APIError
from supabase import ClientOptions, create_client

from tests.postgres import Server
from tests.serving import token_of
from tests.supabase_calls import ANON_KEY, CALLS, Service, a_service, public_functions, snippet

CLIP = "search_scenes_by_visual_clip_embedding"


@pytest.fixture(scope="module")
def service(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with a_service(postgres_server, tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture(scope="module")
def alice(service: Service) -> Any:
    return client_of(service, token_of(service.alice.owner))


@pytest.fixture(scope="module")
def bob(service: Service) -> Any:
    return client_of(service, token_of(service.bob.owner))


def client_of(service: Service, token: str) -> Any:
    options = ClientOptions(headers={"Authorization": f"Bearer {token}"})
    return create_client(service.url, ANON_KEY, options=options)


def scene_ids(rows: Any) -> list[str]:
    return [row["scene_id"] for row in rows]


def refusal(builder: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        builder.execute()
    return caught.value


def test_every_public_function_is_called_here(service: Service) -> None:
    assert set(CALLS) == public_functions(service.database_url)


@pytest.mark.parametrize("function", CALLS)
def test_a_function_finds_the_callers_own_scenes(
    function: str, service: Service, alice: Any
) -> None:
    rows = alice.rpc(function, CALLS[function](service.alice)).execute().data
    assert rows
    assert set(scene_ids(rows)) <= {str(scene) for scene in service.alice.scenes}
    assert not any("embedding" in name for name in rows[0])


@pytest.mark.parametrize("function", CALLS)
def test_another_owners_token_with_ones_ids_finds_nothing(
    function: str, service: Service, bob: Any
) -> None:
    answer = bob.rpc(function, CALLS[function](service.alice), count="exact").execute()
    assert (answer.data, answer.count) == ([], 0)


def test_rows_are_what_the_function_gives_in_its_order(service: Service, alice: Any) -> None:
    rows = alice.rpc(CLIP, CALLS[CLIP](service.alice)).execute().data
    assert (
        rows[0].items()
        >= {
            "scene_id": str(service.alice.scenes[0]),
            "video_id": str(service.alice.video),
            "scene_index": 0,
            "start_ms": 0,
            "end_ms": 1000,
            "similarity": 1,
            "matched_ms": 0,
        }.items()
    )
    assert scene_ids(rows) == [str(scene) for scene in service.alice.scenes]


def test_rows_are_limited_ranged_selected_and_ordered(service: Service, alice: Any) -> None:
    first, second, third = (str(scene) for scene in service.alice.scenes)

    def asked() -> Any:
        return alice.rpc(CLIP, CALLS[CLIP](service.alice))

    assert scene_ids(asked().limit(1).execute().data) == [first]
    assert scene_ids(asked().range(1, 2).execute().data) == [second, third]
    assert asked().select("scene_index", "of:video_id").limit(1).execute().data == [
        {"scene_index": 0, "of": str(service.alice.video)}
    ]
    ordered = asked().order("similarity", nullsfirst=True).order("scene_id").execute().data
    assert scene_ids(ordered) == [third, second, first]
    assert scene_ids(asked().order("similarity", desc=True).execute().data)[0] == first


def test_rows_are_counted_beyond_the_page(service: Service, alice: Any) -> None:
    arguments = CALLS[CLIP](service.alice)
    page = alice.rpc(CLIP, arguments, count="exact").limit(2).execute()
    assert (len(page.data), page.count) == (2, 3)
    by_get = arguments | {"query_embedding": "[1,0,0,0]"}
    assert alice.rpc(CLIP, by_get, count="exact", head=True).execute().count == 3
    assert len(alice.rpc(CLIP, by_get, get=True).execute().data) == 3


def test_one_row_is_an_object(service: Service, alice: Any) -> None:
    found = alice.rpc(CLIP, CALLS[CLIP](service.alice))
    assert found.limit(1).single().execute().data["scene_id"] == str(service.alice.scenes[0])
    several = refusal(alice.rpc(CLIP, CALLS[CLIP](service.alice)).single())
    assert several.code == "PGRST116"
    assert several.message == "Cannot coerce the result to a single JSON object"
    assert several.details == "The result contains 3 rows"


def test_nulls_are_stripped_when_asked(service: Service, alice: Any) -> None:
    text = alice.rpc("search_scenes_by_text", CALLS["search_scenes_by_text"](service.alice))
    assert all(None not in row.values() for row in text.strip_nulls().execute().data)


def test_refusals_carry_code_message_details_and_hint(service: Service, alice: Any) -> None:
    arguments = CALLS[CLIP](service.alice)

    def said(changes: dict[str, Any], function: str = CLIP) -> APIError:
        return refusal(alice.rpc(function, arguments | changes))

    no_owner = said({"filter_user_id": None})
    assert (no_owner.code, no_owner.message) == ("PT400", "filter_user_id is required")
    assert no_owner.hint is not None
    assert no_owner.hint.startswith("Pass the owner")
    assert said({"filter_video_id": "no uuid"}).code == "22P02"
    assert "dimensions" in str(said({"query_embedding": [1.0, 2.0]}).message)
    unknown = said({}, function="search_scenes_by_visual_klip_embedding")
    assert unknown.code == "PGRST202"
    assert unknown.hint == f"Perhaps you meant to call the function public.{CLIP}"
    assert said({"nonsense": 1}).code == "PGRST202"
    assert refusal(alice.rpc("no_such_function", {}, head=True)).code == "PGRST202"
    filtered = refusal(alice.rpc(CLIP, arguments).gt("similarity", 0.5))
    assert filtered.code == "PGRST100"
    assert "not supported" in str(filtered.details)
    assert refusal(alice.rpc(CLIP, arguments).select("scene_id", "videos(*)")).code == "PGRST200"
    assert refusal(alice.rpc(CLIP, arguments).csv()).code == "PGRST107"
    assert refusal(alice.table("scenes").select("*")).code == "PGRST205"
    assert refusal(alice.schema("scenebook").rpc(CLIP, arguments)).code == "PGRST106"


def test_nobody_is_told_to_sign_in(service: Service) -> None:
    arguments = CALLS[CLIP](service.alice)
    anonymous: Any = create_client(service.url, ANON_KEY)
    assert refusal(anonymous.rpc(CLIP, arguments)).code == "PGRST302"
    expired = client_of(service, token_of(service.alice.owner, exp=1))
    assert refusal(expired.rpc(CLIP, arguments)).message == "JWT expired"
    forged = client_of(service, token_of(uuid4(), secret="another secret of enough characters"))
    assert refusal(forged.rpc(CLIP, arguments)).code == "PGRST301"


def test_the_pages_python_runs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    code, environment, vector = snippet("python", service)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"vector": vector}
    exec(compile(code, str(Path("docs/supabase.md")), "exec"), names)
    assert scene_ids(names["similar"].data) == [str(one) for one in service.alice.scenes[1:]]
    assert names["best"].data["scene_id"] == str(service.alice.scenes[0])
    assert names["refused"].code == "PT400"

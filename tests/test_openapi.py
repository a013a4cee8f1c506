"""Whatever the OpenAPI page allows, and much that it does not, is answered as the page says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import hypothesis
import psycopg
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.tus_page import BYTES
from tests.conftest import ALICE
from tests.matrix import calls
from tests.pipelines import settings_for
from tests.postgres import Server
from tests.serving import JWT_SECRET, headers_of, with_tokens
from tests.tenants import MAKERS, Tenants, a_new_video, as_a_stranger, posted, two_tenants

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Made-up requests of each operation, beside those that try its parameters one by one.
EXAMPLES = 200 if hypothesis.settings.get_current_profile_name() == "fuzz" else 10
# Routes that are open to everybody.
OPEN = {"/livez", "/readyz"}
# What requests make here, and the one of it that stays.
MADE = {
    "webhook_endpoints": "endpoint_id",
    "api_keys": "key_id",
    "uploads": "upload_id",
    "videos": "video_id",
}

SEARCHES = ("search_scenes_by_visual_clip_embedding", "search_scenes_by_text", "highlight_scenes")
TRIED: set[str] = set()
# Longer than any URL that the door lets in, and short enough for the tests' client.
LONGEST_URL = 60_000


# Bytes, as any others.
schemathesis.serializer.alias(BYTES, "application/octet-stream")
NOWHERE = settings_for("postgresql://", Path("nowhere"), scenebook_secret_key=JWT_SECRET)
PAGE = create_app(with_tokens(NOWHERE)).openapi()


def for_each_operation(
    check: Callable[..., None], *, examples: int, mistakes: bool
) -> dict[str, Any]:
    """A test for each operation, by its name; with mistakes, each parameter is wrong in turn."""
    page = schemathesis.openapi.from_dict(PAGE)
    page.config.generation.update(max_examples=examples, deterministic=True, database="none")
    page.config.phases.coverage.enabled = mistakes
    found: list[Any] = list(page.get_all_operations())
    return {
        f"test_{check.__name__}[{one.label}]": page.include(
            method=one.method.upper(), path=one.path
        ).parametrize()(check)
        for one in (result.ok() for result in found)
    }


@pytest.fixture(scope="module")
def tenants(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """The owners whose things the requests are about."""
    with (
        postgres_server.database() as url,
        two_tenants(url, tmp_path_factory.mktemp("data")) as made,
    ):
        yield made


def request_of(case: Any, headers: dict[str, str]) -> dict[str, Any]:
    """Byte for byte what a client would send."""
    wanted = case.as_transport_kwargs(base_url="http://localhost")
    known = ("method", "url", "params", "headers", "data", "json", "files", "cookies")
    request = requests.Request(**{name: wanted[name] for name in known if name in wanted})
    prepared = request.prepare()
    return {
        "method": prepared.method,
        "url": (prepared.url or "")[:LONGEST_URL],
        "content": prepared.body,
        "headers": dict(prepared.headers) | headers,
        "follow_redirects": False,
    }


def make_room(tenants: Tenants) -> None:
    """Remove what earlier requests made; there are limits to how much of it there may be."""
    mine = tenants.things[ALICE]
    with psycopg.connect(tenants.url) as connection:
        for table, kept in MADE.items():
            connection.execute(
                f"delete from public.{table} where owner_id = %s and id <> %s",
                (ALICE, getattr(mine, kept)),
            )


def ids_for(tenants: Tenants, case: Any) -> dict[str, str]:
    """Ids for a path that exist; whoever changes something gets new ones."""
    mine: dict[str, UUID] = dict(tenants.things[ALICE].named())
    names = case.path_parameters or {}
    if case.method in ("POST", "PATCH", "DELETE"):
        make_room(tenants)
        makers = MAKERS | {"video_id": a_new_video}
        mine = {n: makers[n](tenants.api, tenants.url, ALICE) for n in names if n in makers}
        if "delivery_id" in names:
            sent = posted(tenants.api, ALICE, f"/v1/webhooks/{mine['endpoint_id']}/test")
            mine["delivery_id"] = UUID(sent["id"])
    return {name: str(mine[name]) for name in names if name in mine}


def mended(tenants: Tenants, case: Any) -> bool:
    """Put in what nobody guesses: ids that exist, URLs that may be, functions with arguments."""
    mine = tenants.things[ALICE]
    if "function" in (case.path_parameters or {}):
        asked = ((name, one) for name in SEARCHES for one in calls(f"public.{name}", mine, mine))
        name, arguments = list(asked)[len(str(case.query)) % 7]
        case.path_parameters = {"function": name}
        given = json.loads(json.dumps(arguments, default=str))
        if case.method == "POST":
            case.body = given
        else:
            case.query = (case.query or {}) | {key: str(one) for key, one in given.items()}
        return True
    before = (case.path_parameters, case.body)
    case.path_parameters = (case.path_parameters or {}) | ids_for(tenants, case)
    if isinstance(case.body, dict):
        known: dict[str, Any] = {"url": "http://127.0.0.1:9/hook", "scene_id": str(mine.scene_id)}
        body = {key: known.get(key, one) for key, one in case.body.items()}
        if "page_token" in body or "image" in body:
            body = {"text": "ham"} | {k: v for k, v in body.items() if k in ("filters", "limit")}
        case.body = body
    if case.operation.path == "/v1/search":
        tried = json.dumps(case.body, sort_keys=True, default=str)
        if tried in TRIED:  # what is left of two requests is often the same
            return False
        TRIED.add(tried)
    return bool((case.path_parameters, case.body) != before)


def every_answer_is_one_that_the_page_describes(case: Any, tenants: Tenants) -> None:
    """An owner's requests, as they are made up, and again as they succeed."""
    if case.method == "POST" and not case.path_parameters:
        make_room(tenants)
    answer = tenants.api.request(**request_of(case, headers_of(ALICE)))
    case.validate_response(answer, checks=CHECKS)
    if answer.status_code in (400, 404, 422) and mended(tenants, case):
        answer = tenants.api.request(**request_of(case, headers_of(ALICE)))
        case.validate_response(answer, checks=CHECKS)


def without_credentials_the_page_is_right_too(case: Any, tenants: Tenants) -> None:
    answer = as_a_stranger(tenants, **request_of(case, {}))
    case.validate_response(answer, checks=CHECKS)
    if case.operation.path not in OPEN and case.method != "OPTIONS":
        assert not answer.is_success


# Under names of their own: tests of one name are one test to those who share them out.
globals().update(
    for_each_operation(
        every_answer_is_one_that_the_page_describes, examples=EXAMPLES, mistakes=True
    ),
    **for_each_operation(without_credentials_the_page_is_right_too, examples=3, mistakes=False),
)

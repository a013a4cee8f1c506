"""One service with two owners who have one of everything, for tests that walk all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from starlette.testclient import TestClient

from api.limits import Limiter
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import scenes_of
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP, SUBTITLES, VIDEO
from tests.pipelines import a_pipeline, settings_for
from tests.rows import a_scene, a_video
from tests.serving import api_in_process, headers_of, with_tokens

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
# So many requests of one owner are what these tests are.
PATIENT = {"rate_limit_owner": "1000000/minute", "rate_limit_key": "1000000/minute"}


@dataclass(frozen=True, slots=True)
class Things:
    """The ids of one owner's things, named as the routes name them, and of the owner."""

    owner_id: UUID
    video_id: UUID
    scene_id: UUID
    keyframe_id: UUID
    upload_id: UUID
    endpoint_id: UUID
    delivery_id: UUID
    key_id: UUID

    @staticmethod
    def unknown() -> Things:
        """Ids that nobody has."""
        return Things(*(uuid4() for _ in range(8)))

    def named(self) -> Mapping[str, UUID]:
        """The ids by their names."""
        return asdict(self)


@dataclass(frozen=True)
class Tenants:
    """The service, its database and storage, and what either owner has there."""

    api: TestClient
    settings: Settings
    url: str
    things: Mapping[UUID, Things]


@contextmanager
def two_tenants(url: str, data_dir: Path) -> Iterator[Tenants]:
    """Alice and Bob with one of everything each: an indexed video and what belongs to an API.

    Alice is an operator as well, Bob is none.
    """
    allowed = {"fetch_allow_hosts": "127.0.0.1", "operators": str(ALICE)}
    settings = with_tokens(settings_for(url, data_dir, **FAKE_CLIP, **PATIENT, **allowed))
    with api_in_process(settings) as api:
        with a_pipeline(settings) as pipeline:
            videos = {
                owner: pipeline.index(VIDEO, owner_id=owner, transcript=SUBTITLES).id
                for owner in (ALICE, BOB)
            }
            scenes = {
                owner: scenes_of(pipeline.tools.db, owner_id=owner, video_id=video)
                for owner, video in videos.items()
            }
        things = {}
        for owner, video in videos.items():
            scene = next(one for one in scenes[owner] if "pickle" in (one.transcript or ""))
            made = {name: make(api, url, owner) for name, make in MAKERS.items()}
            delivery = posted(api, owner, f"/v1/webhooks/{made['endpoint_id']}/test")["id"]
            things[owner] = Things(
                owner, video, scene.id, scene.keyframes[0].id, delivery_id=UUID(delivery), **made
            )
            _fill_the_rest(api, url, owner)
        yield Tenants(api, settings, url, things)


def fill_everything(tenants: Tenants, owner: UUID) -> None:
    """One more of everything that an owner can make, without indexing."""
    for make in (a_new_video, *MAKERS.values()):
        if make is a_new_video:
            with psycopg.connect(tenants.url) as connection:
                connection.execute(
                    "insert into public.owners (id) values (%s) on conflict do nothing", (owner,)
                )
        make(tenants.api, tenants.url, owner)
    _fill_the_rest(tenants.api, tenants.url, owner)


def as_a_stranger(tenants: Tenants, **request: Any) -> Any:
    """A request without credentials, as the first one of its address."""
    services = tenants.api.app.state.services  # type: ignore[attr-defined]
    services.limiter = Limiter(tenants.settings, services.redis)
    return tenants.api.request(**request)


def posted(api: TestClient, owner: UUID, path: str, **request: Any) -> dict[str, Any]:
    """The answer of a POST that succeeds."""
    headers = headers_of(owner) | request.pop("headers", {})
    answer = api.post(path, headers=headers, **request)
    assert answer.is_success, answer.text
    body: dict[str, Any] = answer.json()
    return body


def a_new_video(_api: TestClient, url: str, owner: UUID) -> UUID:
    with psycopg.connect(url) as connection:
        video = a_video(connection, owner=owner)
        a_scene(connection, owner=owner, video=video, transcript="good morning")
    return video


def a_new_upload(api: TestClient, _url: str, owner: UUID) -> UUID:
    headers = TUS | BYTES | {"Upload-Length": "10"}
    return UUID(posted(api, owner, "/v1/uploads", headers=headers, content=b"half ")["id"])


def a_new_endpoint(api: TestClient, _url: str, owner: UUID) -> UUID:
    body = {"url": "http://127.0.0.1:9/hook"}
    return UUID(posted(api, owner, "/v1/webhooks", json=body)["id"])


def a_new_key(api: TestClient, _url: str, owner: UUID) -> UUID:
    return UUID(posted(api, owner, "/v1/keys", json={"name": "a key"})["key"]["id"])


# What the API, rather than indexing, makes.
MAKERS = {"upload_id": a_new_upload, "endpoint_id": a_new_endpoint, "key_id": a_new_key}


def an_import(owner_id: UUID) -> dict[str, Any]:
    """A request to fetch what this owner has fetched."""
    body = {"url": f"http://127.0.0.1:9/{owner_id}.mp4", "title": f"of {owner_id}"}
    return {"json": body, "headers": {"Idempotency-Key": f"fetched by {owner_id}"}}


def a_film(owner_id: UUID) -> dict[str, Any]:
    """A request with the bytes that this owner has uploaded."""
    return {"files": {"file": ("film.mp4", f"film of {owner_id}".encode(), "video/mp4")}}


def _fill_the_rest(api: TestClient, url: str, owner: UUID) -> None:
    """What belongs to an owner besides: searches, videos that wait, and rows of the pipeline."""
    posted(api, owner, "/v1/search", json={"text": "good morning"})
    posted(api, owner, "/v1/videos", **an_import(owner))
    posted(api, owner, "/v1/videos", **a_film(owner))
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.paid_calls (owner_id, key, response) values (%s, 'key', '{}')",
            (owner,),
        )
        connection.execute(
            "insert into public.space_scenes (space_id, owner_id, scene_id, status)"
            " select (select min(id) from public.embedding_spaces), %s, id, 'timeout'"
            " from public.scenes where owner_id = %s limit 1",
            (owner, owner),
        )


def everything_of(tenants: Tenants, owner: UUID) -> dict[str, Any]:
    """Counts and checksums of an owner's rows in every table, and the owner's stored objects."""
    found: dict[str, Any] = {"objects": Storage(tenants.settings.storage).list_prefix(str(owner))}
    with psycopg.connect(tenants.url) as connection:
        for name in relations(connection, "r"):
            columns = {
                column
                for (column,) in connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass", (name,)
                )
            }
            mine = "owner_id" if "owner_id" in columns else "id" if name.endswith(".owners") else ""
            found[name] = connection.execute(
                "select count(*), md5(string_agg(one::text, ' ' order by one::text))"
                f" from {name} as one" + (f" where {mine} = %s" if mine else " where %s is null"),
                (owner,),
            ).fetchone()
    return found


def relations(connection: psycopg.Connection, kinds: str) -> list[str]:
    """Our relations of these kinds, as `pg_class` names them."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname from pg_class as c"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname in ('public', 'scenebook', 'auth') and c.relkind = any (%s)",
        (list(kinds),),
    )
    return [name for (name,) in rows]

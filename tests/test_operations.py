"""Operators see the work of all owners, nobody else does, and nobody's content is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
import structlog
from starlette.testclient import TestClient

from api.app import create_app
from scenebook import api_keys
from scenebook.db.engine import Database, Role
from scenebook.errors import ConfigurationError
from scenebook.model import VideoStatus
from scenebook.operations import operators_of
from scenebook.settings import Settings
from scenebook.signing import Signer, secret_of
from scenebook.videos import get_video
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP
from tests.matrix import OPERATORS_ONLY
from tests.pipelines import Pipeline, a_pipeline
from tests.rows import EAST, NORTH, a_library, a_scene, a_space, a_video, an_embedding, an_owner
from tests.serving import api_in_process, headers_of

OPERATOR = UUID("0be7a704-0000-4000-8000-000000000004")
COLLEAGUE = UUID("c011ea60-0000-4000-8000-000000000005")
SECRETS = ("A video", "good morning", "holiday.mp4", "https://example.org")
READS = [route for route in OPERATORS_ONLY if route.startswith("GET")]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    operators = f"{OPERATOR}, {str(COLLEAGUE).upper()}"
    return settings.model_copy(update={"operators": operators, **FAKE_CLIP})


@pytest.fixture
def raw(database_url: str) -> Iterator[psycopg.Connection]:
    """The database as the superuser sees it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def libraries(raw: psycopg.Connection) -> dict[UUID, UUID]:
    """The video of each of two owners, who have a row in every table."""
    space = a_space(raw)
    return {
        owner: a_library(raw, owner=an_owner(raw, owner), space=space) for owner in (ALICE, BOB)
    }


def got(api: TestClient, path: str, caller: UUID = OPERATOR, **params: Any) -> Any:
    """What an operator is answered."""
    answer = api.get(f"/v1/operations{path}", headers=headers_of(caller), params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def a_dead_letter(
    raw: psycopg.Connection,
    owner: UUID,
    video: UUID,
    *,
    stage: str = "describe",
    code: str = "refused",
    said: str = "The model declines holiday.mp4: good morning",
) -> int:
    row = raw.execute(
        "insert into public.jobs (owner_id, video_id, generation, stage, unit, state, attempt,"
        " finished_at, errors) select %s, %s, 1, %s, count(*), 'failed', 5, clock_timestamp(),"
        " jsonb_build_array(jsonb_build_object('code', %s::text, 'message', %s::text))"
        " from public.jobs where video_id = %s returning id",
        (owner, video, stage, code, said, video),
    ).fetchone()
    assert row is not None
    return int(row[0])


# --- who may look ---------------------------------------------------------------------------------


def test_a_malformed_operator_is_named_at_the_start(settings: Settings) -> None:
    assert operators_of(settings) == {OPERATOR, COLLEAGUE}
    assert operators_of(settings.model_copy(update={"operators": " , "})) == frozenset()
    with pytest.raises(ConfigurationError, match="OPERATORS: 'somebody' is no owner's id"):
        create_app(settings.model_copy(update={"operators": f"{OPERATOR},somebody"}))


@pytest.mark.parametrize("route", OPERATORS_ONLY)
def test_only_an_operator_with_the_scope_admin_is_answered(
    api: TestClient, settings: Settings, libraries: dict[UUID, UUID], route: str
) -> None:
    method, _, path = route.replace("{job_id}", "1").partition(" ")
    db = api.app.state.services.db  # type: ignore[attr-defined]

    def code(headers: dict[str, str]) -> tuple[int, str]:
        answer = api.request(method, path, headers=headers)
        return answer.status_code, answer.json().get("code", "")

    def with_key(owner: UUID, *scopes: api_keys.Scope) -> dict[str, str]:
        made = api_keys.create_key(db, owner_id=owner, name="a key", scopes=set(scopes))
        return {"Authorization": f"Bearer {made.secret}"}

    assert code({}) == (401, "unauthorized")
    assert code(headers_of(ALICE)) == (403, "not_an_operator")
    assert code(with_key(ALICE, "read", "write", "admin")) == (403, "not_an_operator")
    assert code(with_key(OPERATOR, "read", "write")) == (403, "scope_missing")
    fine = (200, "") if method == "GET" else (404, "not_found")
    assert code(with_key(OPERATOR, "admin")) == fine
    assert code(headers_of(COLLEAGUE)) == fine
    alone = settings.model_copy(update={"operators": None})
    with api_in_process(alone) as other:
        refused = other.request(method, path, headers=headers_of(OPERATOR))
        assert (refused.status_code, refused.json()["code"]) == (403, "not_an_operator")


def test_everybody_is_told_who_they_are(api: TestClient, settings: Settings) -> None:
    db = api.app.state.services.db  # type: ignore[attr-defined]
    everything = ["admin", "read", "write"]

    def me(client: TestClient, headers: dict[str, str]) -> Any:
        answer = client.get("/v1/me", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for owner, operator in ((ALICE, False), (OPERATOR, True)):
        told = {"owner_id": str(owner), "scopes": everything, "operator": operator}
        assert me(api, headers_of(owner)) == told
    key = api_keys.create_key(db, owner_id=OPERATOR, name="a key", scopes={"write"}).secret
    told = {"owner_id": str(OPERATOR), "scopes": ["write"], "operator": False}
    assert me(api, {"x-api-key": key}) == told
    assert api.get("/v1/me").status_code == 401


def test_in_dev_mode_this_machine_may_and_no_token_by_that(settings: Settings) -> None:
    here = settings.model_copy(update={"auth_mode": "dev", "operators": None})
    with api_in_process(here) as api:
        assert api.get("/v1/me").json()["operator"] is True
        assert api.get("/v1/operations").status_code == 200
        assert api.get("/v1/operations", headers=headers_of(ALICE)).status_code == 403
    with api_in_process(here, peer="10.1.2.3") as api:
        assert api.get("/v1/operations").status_code == 401


def test_the_operators_role_reads_no_content_and_no_other_role_becomes_it(
    database_url: str, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    across = Database(database_url, role=Role.OPERATOR, pool_size=1)
    try:
        for column in ("title", "source_key", "metadata"):
            with pytest.raises(sa.exc.ProgrammingError), across.across_owners() as tx:
                tx.exec_driver_sql(f"select {column} from public.videos")
        with across.across_owners() as tx:
            owners = tx.exec_driver_sql("select distinct owner_id from public.scenes").scalars()
            assert set(owners) == {ALICE, BOB}
            with pytest.raises(sa.exc.ProgrammingError), tx.begin_nested():
                tx.exec_driver_sql("update public.jobs set priority = 0")
    finally:
        across.close()
    for role in ("anon", "authenticated", "scenebook_api", "scenebook_worker", "scenebook_relay"):
        row = raw.execute(
            "select pg_has_role(%s, 'scenebook_operator', 'member')", (role,)
        ).fetchone()
        assert row == (False,), role


# --- what is seen ---------------------------------------------------------------------------------


def test_an_operator_sees_the_queue_of_all_owners_as_the_database_has_it(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    dead = {owner: a_dead_letter(raw, owner, video) for owner, video in libraries.items()}
    raw.execute(
        "insert into public.workers (id, kind, beat_at, draining, version) values"
        " ('alive', 'worker', now(), true, '1'), ('gone', 'relay', now() - interval '1 hour',"
        " false, null)"
    )
    raw.execute(
        "update public.jobs set state = 'running', lease_owner = 'alive', started_at = now(),"
        " lease_until = now() + interval '40 seconds' where owner_id = %s and stage = 'probe'",
        (BOB,),
    )
    raw.execute(
        "update public.jobs set run_at = now() - interval '90 seconds' where state = 'queued'"
    )
    told = got(api, "")
    depth = {(one["stage"], one["state"]): one for one in told["depth"]}
    assert set(depth) == {("probe", "queued"), ("probe", "running")}
    assert depth["probe", "queued"]["jobs"] == 1
    assert 90 <= depth["probe", "queued"]["oldest_s"] < 120
    assert [(p["id"], p["draining"], p["silent"]) for p in told["processes"]] == [
        ("gone", False, True), ("alive", True, False),
    ]  # fmt: skip
    (running,) = told["running"]
    assert (running["owner_id"], running["video_id"]) == (str(BOB), str(libraries[BOB]))
    assert 0 < running["lease_s"] <= 40
    assert [one["job_id"] for one in told["dead_letters"]] == [dead[BOB], dead[ALICE]]
    busy = {one["owner_id"]: (one["jobs"], one["running"]) for one in told["owners"]}
    assert busy == {str(ALICE): (1, 0), str(BOB): (1, 1)}


def test_spaces_are_told_with_the_scenes_that_readers_see(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    def a_seen_scene(owner: UUID, video: UUID, status: str, **where: Any) -> UUID:
        scene = a_scene(raw, owner=owner, video=video, **where)
        raw.execute(
            "insert into public.scene_channels (owner_id, scene_id, channel, status)"
            " values (%s, %s, 'visual_clip', %s)",
            (owner, scene, status),
        )
        return scene

    (active,) = (one["id"] for one in got(api, "/spaces")["data"])
    building = a_space(raw, status="building", model="sextant")
    scene = a_seen_scene(ALICE, libraries[ALICE], "ok", index=1)
    an_embedding(raw, NORTH, scene=scene, space=active)
    an_embedding(raw, EAST, scene=scene, space=active, ordinal=1)
    a_seen_scene(ALICE, libraries[ALICE], "timeout", index=2)
    a_seen_scene(BOB, libraries[BOB], "no_frame", index=1)
    a_seen_scene(BOB, libraries[BOB], "skipped", index=2)
    # Not seen: of an older generation, and of a video that is being deleted.
    a_seen_scene(BOB, libraries[BOB], "error", index=3, generation=0)
    a_seen_scene(BOB, a_video(raw, owner=BOB, status="deleting"), "error")
    raw.execute(
        "insert into public.space_scenes (space_id, owner_id, scene_id, status)"
        " values (%s, %s, %s, 'load_error')",
        (building, ALICE, scene),
    )
    api.app.state.services.coverage.clear()  # type: ignore[attr-defined]
    one, other = got(api, "/spaces")["data"]
    assert (one["model"], one["status"], one["dimensions"]) == ("compass", "active", 4)
    assert (one["vectors"], one["scenes_with"]) == (4, 3)
    assert one["scenes_without"] == {"timeout": 1, "no_frame": 1, "skipped": 1}
    assert (other["id"], other["status"], other["vectors"]) == (building, "building", 0)
    assert other["scenes_without"] == {"pending": 4, "skipped": 1, "load_error": 1}
    assert sum(other["scenes_without"].values()) == 6


def test_searches_are_told_with_their_timings(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    raw.execute("delete from public.searches")
    timing = {"visual_clip": {"encode": 12.5, "search": 3.0}}
    raw.execute(
        "insert into public.searches (owner_id, took_ms, timing_ms, degraded, hits)"
        " values (%s, 21.5, %s, '{transcript}', 7)",
        (BOB, psycopg.types.json.Jsonb(timing)),
    )
    (one,) = got(api, "/searches")["data"]
    assert (one["owner_id"], one["took_ms"], one["hits"]) == (str(BOB), 21.5, 7)
    assert (one["timing_ms"], one["degraded"]) == (timing, ["transcript"])


def test_no_answer_holds_anybodys_content(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    for owner, video in libraries.items():
        a_dead_letter(raw, owner, video)
    for route in READS:
        text = api.get(route.partition(" ")[2], headers=headers_of(OPERATOR)).text
        assert str(BOB) in text or route.endswith("/spaces")
        assert not [secret for secret in SECRETS if secret in text], route


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("refused", "A remote model declines the content. The log of job {id} says more."),
        ("invalid_subtitles", "The transcript file cannot be read as WebVTT or SubRip. The log"),
        ("never_heard_of", "Something failed. The log of job {id} says more."),
        ("stalled", "The model declines holiday.mp4"),  # of the deployment: told as it is
    ],
)
def test_a_dead_letter_says_what_its_code_means(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID], code: str, said: str
) -> None:
    job = a_dead_letter(raw, BOB, libraries[BOB], code=code)
    (letter,) = got(api, "/dead-letters")["data"]
    assert (letter["job_id"], letter["code"], letter["attempts"]) == (job, code, 5)
    assert letter["message"].startswith(said.format(id=job))


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dead-letters", "/searches"])
def test_pages_follow_each_other_and_belong_to_one_operator_and_list(
    api: TestClient, raw: psycopg.Connection, settings: Settings, libraries: dict[UUID, UUID],
    path: str,
) -> None:  # fmt: skip
    for number in range(5):
        owner = (ALICE, BOB)[number % 2]
        a_dead_letter(raw, owner, libraries[owner])
        raw.execute(
            "insert into public.searches (owner_id, took_ms, hits) values (%s, %s, 0)",
            (owner, number),
        )
    # All at one moment: the id alone orders them.
    raw.execute("update public.jobs set finished_at = '2026-01-01' where state = 'failed'")
    whole = got(api, path, limit=100)
    pages, token = [], None
    while True:
        page = got(api, path, limit=2, **({"page_token": token} if token else {}))
        pages += page["data"]
        token, before = page["page"]["next_token"], token
        if token is None:
            break
    assert pages == whole["data"]
    assert len(pages) >= 5

    def refused(token: str | None, caller: UUID = OPERATOR) -> str:
        answer = api.get(
            f"/v1/operations{path}", params={"page_token": token}, headers=headers_of(caller)
        )
        return f"{answer.status_code} {answer.json()['code']}"

    assert refused(f"A{before}") == "400 invalid_token"
    assert refused(before, COLLEAGUE) == "400 invalid_token"
    content = {"o": str(OPERATOR), "of": {}, "at": {}}
    other = Signer(secret_of(settings)).sign("videos", content, ttl_s=60)
    assert refused(other) == "400 invalid_token"


# --- retry ----------------------------------------------------------------------------------------


@pytest.fixture
def broken(pipeline: Pipeline, tmp_path: Path) -> dict[UUID, UUID]:
    """A video of either owner that cannot be read."""
    file = tmp_path / "holiday.mp4"
    file.write_bytes(b"no video")
    return {owner: pipeline.index(file, owner_id=owner).id for owner in (ALICE, BOB)}


def test_a_retry_does_anew_what_failed_of_that_owners_video_alone(
    api: TestClient, raw: psycopg.Connection, broken: dict[UUID, UUID], settings: Settings
) -> None:
    letters = {one["owner_id"]: one for one in got(api, "/dead-letters")["data"]}
    assert set(letters) == {str(ALICE), str(BOB)}
    job = letters[str(BOB)]["job_id"]
    before = raw.execute("select * from public.jobs where owner_id = %s", (ALICE,)).fetchall()
    path = f"/v1/operations/dead-letters/{job}/retry"
    with structlog.testing.capture_logs() as logs:
        answer = api.post(path, headers=headers_of(OPERATOR))
    assert answer.status_code == 202, answer.text
    stages = answer.json()["stages"]
    assert answer.json() == {
        "job_id": job, "owner_id": str(BOB), "video_id": str(broken[BOB]), "stages": stages,
    }  # fmt: skip
    (line,) = (one for one in logs if one["event"] == "dead_letter_retried")
    assert (line["operator_id"], line["owner_id"]) == (str(OPERATOR), str(BOB))
    assert (line["job_id"], line["video_id"], line["stages"]) == (job, str(broken[BOB]), stages)

    todo = raw.execute(
        "select owner_id, video_id, stage from public.jobs where state = 'queued'"
    ).fetchall()
    assert todo == [(BOB, broken[BOB], "probe")]
    after = raw.execute("select * from public.jobs where owner_id = %s", (ALICE,)).fetchall()
    assert after == before
    # It waits to be done anew, so it is no dead letter, until it fails again.
    assert [one["owner_id"] for one in got(api, "/dead-letters")["data"]] == [str(ALICE)]
    again = api.post(path, headers=headers_of(OPERATOR))
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    with a_pipeline(settings) as pipeline:
        pipeline.work()
    assert len(got(api, "/dead-letters")["data"]) == 2


def test_a_video_that_is_being_indexed_is_not_retried(
    api: TestClient, raw: psycopg.Connection, libraries: dict[UUID, UUID]
) -> None:
    job = a_dead_letter(raw, BOB, libraries[BOB])
    answer = api.post(f"/v1/operations/dead-letters/{job}/retry", headers=headers_of(OPERATOR))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_delete_that_was_given_up_is_done_again(
    api: TestClient, raw: psycopg.Connection, pipeline: Pipeline, broken: dict[UUID, UUID]
) -> None:
    raw.execute("update public.videos set status = 'deleting' where id = %s", (broken[BOB],))
    job = a_dead_letter(raw, BOB, broken[BOB], stage="delete", code="internal")
    raw.execute("update public.jobs set generation = 0 where id = %s", (job,))
    answer = api.post(f"/v1/operations/dead-letters/{job}/retry", headers=headers_of(OPERATOR))
    assert (answer.status_code, answer.json()["stages"]) == (202, 1)
    pipeline.work()
    left = raw.execute("select owner_id from public.videos").fetchall()
    assert left == [(ALICE,)]
    db = pipeline.tools.db
    kept = get_video(db, owner_id=ALICE, video_id=broken[ALICE])
    assert kept.status is VideoStatus.FAILED

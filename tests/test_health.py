"""Whether the service says that it lives and is ready, and to whom it shows what it counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis
from sqlalchemy import make_url
from starlette.testclient import TestClient

from scenebook.settings import Settings
from tests.postgres import Server
from tests.serving import api_in_process, running_api
from tests.stack import free_port


def ready(api: TestClient) -> tuple[int, dict[str, Any]]:
    """A fresh look, once the models were tried."""
    services = api.app.state.services
    while services.warming.waiting() is not None:
        services.warming._stop.wait(0.01)
    services.inspector._known = None
    answer = api.get("/readyz")
    return answer.status_code, answer.json()


def test_a_service_with_everything_is_ready(settings: Settings, redis_url: str) -> None:
    with api_in_process(settings.model_copy(update={"redis_url": redis_url})) as api:
        assert api.get("/livez").json() == {"status": "ok"}
        assert ready(api) == (200, {"status": "ok", "reasons": [], "degraded": []})


def test_without_its_schema_it_is_not_ready(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from scenebook.sql_functions where name = 'scenes_nearest'")
    with api_in_process(settings) as api:
        status, answer = ready(api)
        assert (status, answer["status"]) == (503, "unready")
        (reason,) = answer["reasons"]
        assert reason.startswith("schema: ")
        assert "scenebook migrate" in reason


def test_without_its_storage_it_is_not_ready(settings: Settings) -> None:
    with api_in_process(settings) as api:
        shutil.rmtree(Path(settings.storage.removeprefix("file://")))
        status, answer = ready(api)
        assert status == 503
        assert [reason.split(":")[0] for reason in answer["reasons"]] == ["storage"]


def test_without_the_broker_it_is_ready_and_says_what_is_missing(settings: Settings) -> None:
    away = f"redis://:secret@127.0.0.1:{free_port()}"
    with api_in_process(settings.model_copy(update={"redis_url": away})) as api:
        status, answer = ready(api)
        assert (status, answer["status"]) == (200, "degraded")
        assert answer["degraded"][0].startswith("broker: ")
        assert "secret" not in str(answer)


def test_without_its_database_it_lives_and_is_not_ready(
    settings: Settings, postgres_server: Server
) -> None:
    with postgres_server.database() as url:
        changed = settings.model_copy(update={"database_url": url})
        with api_in_process(changed) as api:
            assert ready(api)[0] == 200
            name = make_url(url).database
            postgres_server.run(f"alter database {name} allow_connections false")
            api.app.state.services.db.close()
            status, answer = ready(api)
            assert status == 503
            assert answer["reasons"][0].startswith("database: ")
            assert api.get("/livez").status_code == 200
            assert url not in str(answer)


def test_an_answer_is_kept_a_moment_and_nobody_hangs_on_a_check(settings: Settings) -> None:
    with api_in_process(settings) as api:
        assert ready(api)[0] == 200
        inspector = api.app.state.services.inspector
        before = inspector._known
        assert [api.get("/readyz").status_code for _ in range(5)] == [200] * 5
        assert inspector._known is before


def test_what_it_counted_is_shown_inside_only(settings: Settings) -> None:
    with api_in_process(settings) as api:
        api.get("/nothing")
        inside = api.get("/metrics")
        assert inside.status_code == 200
        assert (
            'scenebook_requests_total{method="GET",route="unmatched",status="404"}' in inside.text
        )
        proxied = api.get("/metrics", headers={"X-Forwarded-For": "10.0.0.7"})
        outside = TestClient(api.app, client=("8.8.8.8", 1)).get("/metrics")
        unknown = api.get("/nothing")
        for answer in (proxied, outside):
            assert (answer.status_code, answer.json()) == (404, unknown.json())
        assert "/metrics" not in api.get("/openapi.json").json()["paths"]


def test_the_process_serves_and_ends_when_told(settings: Settings, redis_url: str) -> None:
    redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")).flushall()
    with running_api(settings, redis_url=redis_url) as url:
        assert httpx.get(f"{url}/livez").json() == {"status": "ok"}
        assert httpx.get(f"{url}/v1/keys").status_code == 401
        assert "server" not in httpx.get(f"{url}/livez").headers

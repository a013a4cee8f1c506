"""The doctor's checks of a deployment: each finds what is broken, and says what to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
from pydantic import SecretStr
from typer.testing import CliRunner

from scenebook.cli import alive, doctor
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.commands import app
from scenebook.cli.service_checks import check_service
from scenebook.cli.setting_checks import check_key, check_settings
from scenebook.settings import Settings
from tests.brokers import client_of
from tests.canary_film import make
from tests.serving import running_api, token_of

REGISTERED = (doctor,)


@contextmanager
def answering(status: int, body: bytes = b"{}") -> Iterator[str]:
    """A server that says the same to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def by_name(checks: Any) -> dict[str, Check]:
    return {check.name: check for check in checks}


def process(
    url: str, kind: str, *, version: str, silent_s: int = 0, draining: bool = False
) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.workers (id, kind, draining, version, beat_at)"
            " values (gen_random_uuid()::text, %s, %s, %s, now() - make_interval(secs => %s))",
            (kind, draining, version, silent_s),
        )


def test_workers_and_relays_must_live_and_be_of_this_version(database_url: str) -> None:
    assert {one.verdict for one in alive.check_processes(database_url)} == {Verdict.FAIL}
    process(database_url, "worker", version="0.1.0", silent_s=300)
    process(database_url, "worker", version="0.1.0", draining=True)
    process(database_url, "relay", version="0.1.0")
    found = by_name(alive.check_processes(database_url))
    assert found["relay"].verdict is Verdict.OK
    assert found["worker"].verdict is Verdict.FAIL
    assert "Start a worker" in (found["worker"].remedy or "")
    process(database_url, "worker", version="0.0.9")
    worker = by_name(alive.check_processes(database_url))["worker"]
    assert (worker.verdict, worker.detail) == (Verdict.WARN, "1 alive, version 0.0.9")


def test_a_clock_that_is_off_is_found(database_url: str) -> None:
    assert alive.check_clock(database_url).verdict is Verdict.OK
    assert alive.clock(1.9, what="Postgres", round_trip_s=0).verdict is Verdict.OK
    slow = alive.clock(-30.0, what="Postgres", round_trip_s=0.1)
    assert slow.verdict is Verdict.WARN
    assert slow.detail == "Postgres is 30.0 s behind this machine"


def test_workers_that_listen_to_another_broker_are_found(database_url: str, redis_url: str) -> None:
    assert alive.check_listeners(redis_url, database_url).verdict is Verdict.OFF
    process(database_url, "worker", version="0.1.0")
    elsewhere = alive.check_listeners(redis_url, database_url)
    assert elsewhere.verdict is Verdict.WARN
    assert "the same REDIS_URL" in (elsewhere.remedy or "")
    with closing(client_of(redis_url)) as client:
        waiting = threading.Thread(
            target=client.brpop, args=(["nothing-ever"],), kwargs={"timeout": 30}
        )
        waiting.start()
        try:
            found = _once_listening(redis_url, database_url)
            beside = alive.check_listeners(f"{redis_url}?db=1", database_url)
        finally:
            with closing(client_of(redis_url)) as other:
                other.lpush("nothing-ever", "over")
            waiting.join()
    assert (found.verdict, beside.verdict) == (Verdict.OK, Verdict.WARN)
    gone = alive.check_listeners("redis://:s3cret@127.0.0.1:1/0", database_url)
    assert gone.verdict is Verdict.OFF
    assert "s3cret" not in str(gone)


def _once_listening(redis_url: str, database_url: str) -> Check:
    with closing(client_of(redis_url)) as client:
        while not any(one["cmd"] == "brpop" for one in client.client_list()):
            pass
    return alive.check_listeners(redis_url, database_url)


DEPLOYED = {
    "database_url": "postgresql://x@db/x",
    "redis_url": "redis://redis/0",
    "storage_url": "s3://bucket/x",
    "scenebook_secret_key": SecretStr("k" * 32),
}


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({}, Verdict.OK, "complete"),
        ({"scenebook_secret_key": SecretStr("short")}, Verdict.FAIL, "needs 32"),
        ({"scenebook_secret_key": None}, Verdict.WARN, "SCENEBOOK_SECRET_KEY is not set"),
        ({"storage_url": "file:///data"}, Verdict.WARN, "must share its disk"),
        ({"redis_url": None}, Verdict.WARN, "REDIS_URL is not set"),
        ({"auth_mode": "dev"}, Verdict.WARN, "AUTH_MODE is dev"),
        ({"database_url": None, "redis_url": None}, Verdict.OK, "embedded"),
    ],
    ids=str,
)
def test_settings_that_break_on_several_machines_are_named(
    changes: dict[str, Any], verdict: Verdict, said: str
) -> None:
    (check,) = check_settings(Settings(**(DEPLOYED | changes)))  # type: ignore[arg-type]
    assert check.verdict is verdict
    assert said in check.detail
    assert "short" not in check.detail


@pytest.mark.parametrize(
    ("status", "provider", "verdict"),
    [
        (200, "local", Verdict.OK),
        (404, "local", Verdict.OK),
        (401, "local", Verdict.WARN),
        (401, "openai", Verdict.FAIL),
        (503, "openai", Verdict.FAIL),
    ],
)
def test_the_key_of_the_models_is_tried(status: int, provider: Any, verdict: Verdict) -> None:
    with answering(status) as url:
        check = check_key(
            Settings(
                openai_base_url=f"{url.replace('//', '//me:s3cret@')}/v1?key=s3cret",
                openai_api_key=SecretStr("s3cret"),
                text_embedding_provider=provider,
            )  # type: ignore[call-arg]
        )
    assert check.verdict is verdict, check
    assert "s3cret" not in str(check)


def far(url: str, key: str | None) -> Settings:
    secret = None if key is None else SecretStr(key)
    return Settings(scenebook_url=url, scenebook_api_key=secret)  # type: ignore[call-arg]


def test_a_service_is_asked_whether_it_is_ready_and_takes_the_key(
    settings: Settings, alice: UUID
) -> None:
    with running_api(settings) as url:
        found = by_name(check_service(far(url, token_of(alice))))
        assert list(found) == ["service", "ready", "clock", "key"]
        assert {check.verdict for check in found.values()} == {Verdict.OK}, found
        wrong = by_name(check_service(far(url, "sbk_wr0ng")))["key"]
        assert wrong.verdict is Verdict.FAIL
        assert "sbk_wr0ng" not in str(wrong)


def test_a_service_that_is_another_or_away_is_one_line() -> None:
    (away,) = check_service(far("http://me:s3cret@127.0.0.1:1", "k"))
    assert away.verdict is Verdict.FAIL
    assert "s3cret" not in str(away)
    with answering(200, b"<html>") as url:
        other = _ready(far(url, "k"))
    assert other.verdict is Verdict.FAIL
    assert "lead to Scenebook" in (other.remedy or "")
    waits = {"status": "unready", "reasons": ["schema: old"], "degraded": []}
    with answering(503, json.dumps(waits).encode()) as url:
        assert _ready(far(url, "k")).detail == "schema: old"


def _ready(settings: Settings) -> Check:
    return next(check for check in check_service(settings) if check.name == "ready")


def test_at_a_service_nothing_of_this_machine_is_started(
    settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with running_api(settings) as url:
        near = far(url, token_of(alice))
        monkeypatch.setattr("scenebook.cli.commands.get_settings", lambda: near)
        said = CliRunner().invoke(app, ["doctor", "--json"])
        shown = CliRunner().invoke(app, ["doctor"])
    assert (said.exit_code, shown.exit_code) == (0, 0), said.output
    answer = json.loads(said.stdout)
    assert answer["ok"] is True
    assert set(answer["checks"][0]) == {"name", "verdict", "detail", "remedy", "seconds"}
    assert [one["name"] for one in answer["checks"]][1:] == ["service", "ready", "clock", "key"]
    assert "✓ key: accepted" in shown.stdout
    assert list(here.iterdir()) == []


def test_the_shipped_film_is_what_its_program_draws(tmp_path: Path) -> None:
    from scenebook.cli.canary_film import FILM

    made = make(tmp_path / "canary.mp4")
    assert abs(made.stat().st_size - FILM.stat().st_size) < 1000


def test_a_broker_that_may_not_be_asked_is_no_error(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise redis.ResponseError("unknown command")

    monkeypatch.setattr(redis.Redis, "client_list", refuse)
    check = alive.check_listeners(redis_url, database_url)
    assert check.verdict is Verdict.OFF
    assert check.remedy

"""Secrets show nowhere: not in logs, rows, answers or what commands print, however things fail."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog
from psycopg import sql
from pydantic import SecretStr

from scenebook import logs
from scenebook.environment import process_environment
from scenebook.model import VideoStatus
from scenebook.settings import Settings
from tests import clips
from tests.commands import COMMAND
from tests.openai_server import (
    CHAT,
    EMBEDDINGS,
    TRANSCRIPTIONS,
    OpenAIServer,
    Reply,
    Request,
    chat,
    failure,
)
from tests.pipelines import a_pipeline
from tests.serving import api_in_process, headers_of

MARKER = "m4rk3r"
# Not of the shape that keys usually have, so that only knowing it hides it.
KEY = f"{MARKER} of the API"
SECRETS = {
    "OPENAI_API_KEY": KEY,
    "OPENAI_BASE_URL": f"http://me:{MARKER}@127.0.0.1:1/v1?key={MARKER}",
    "SCENEBOOK_SECRET_KEY": MARKER * 6,
    "JWT_SECRET": MARKER * 6,
    "DATABASE_URL": f"postgresql://scenebook:{MARKER}@127.0.0.1:1/scenebook",
    "REDIS_URL": f"redis://:{MARKER}@127.0.0.1:1/0",
    "STORAGE_URL": "s3://bucket/prefix",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ALLOW_HTTP": "true",
    "AWS_REGION": "here",
    "AWS_ACCESS_KEY_ID": f"id-{MARKER}",
    "AWS_SECRET_ACCESS_KEY": MARKER,
}


@pytest.fixture
def talking(settings: Settings, openai: OpenAIServer) -> Settings:
    """Everything that can be asked of the service is."""
    return settings.model_copy(
        update={
            "openai_base_url": openai.url,
            "openai_api_key": SecretStr(KEY),
            "openai_max_retries": 0,
            "scenebook_secret_key": SecretStr(MARKER * 6),
            "text_embedding_provider": "openai",
            "transcription_provider": "openai",
            "job_max_attempts": 1,
        }
    )


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest, settings: Settings) -> Iterator[io.StringIO]:
    """What a process with these settings would log, with everything that libraries say."""
    root, written = logging.getLogger(), io.StringIO()
    before = root.handlers, root.level
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", written)
        logs.configure(settings.model_copy(update={"log_format": request.param}))
        root.setLevel(logging.DEBUG)
        yield written
    root.handlers, root.level = before
    structlog.reset_defaults()


def echo(status: int) -> Any:
    """A service that repeats what it was sent, in every way it can."""

    def reply(request: Request) -> Reply:
        said = f"Bad key {request.headers['authorization']} ({KEY})"
        return failure(status, said) if status >= 400 else chat("", refusal=said)

    return reply


def rows(url: str) -> str:
    """Every row of every table, as text."""
    with psycopg.connect(url) as connection:
        tables: Sequence[tuple[str, str]] = connection.execute(
            "select schemaname, tablename from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        found = [
            str(row)
            for schema, table in tables
            for row in connection.execute(
                sql.SQL("select one::text from {} as one").format(sql.Identifier(schema, table))
            )
        ]
    assert found
    return "\n".join(found)


def test_a_service_that_repeats_the_key_puts_it_in_no_row_log_or_answer(
    talking: Settings,
    openai: OpenAIServer,
    alice: UUID,
    tmp_path: Path,
    logged: io.StringIO,
) -> None:
    assert talking.database_url is not None
    pictures = [picture for seed in range(4) for picture in clips.still(seed, 25)]
    sound = clips.tone(4.0)
    with a_pipeline(talking) as pipeline:
        for number, status in enumerate((400, 401, 429, 500, 200)):
            for path in (CHAT, EMBEDDINGS, TRANSCRIPTIONS):
                openai.always(path, echo(status))
            film = clips.write(tmp_path / f"{number}.mp4", pictures[number:], sound=sound)
            words = tmp_path / "words.vtt"
            words.write_text("WEBVTT\n\n00:00.100 --> 00:00.900\nGood morning.\n")
            video = pipeline.index(film, owner_id=alice, transcript=words if number % 2 else None)
            assert video.status is VideoStatus.PARTIAL
    with api_in_process(talking) as api:
        answers = [
            api.post("/v1/search", json={"query": "hello"}, headers=headers_of(alice)).text,
            api.get("/v1/videos", headers=headers_of(alice)).text,
            api.get("/readyz").text,
        ]
    assert openai.requests[0].headers["authorization"] == f"Bearer {KEY}"
    shown = {"rows": rows(talking.database_url), "log": logged.getvalue(), "api": str(answers)}
    assert "***" in shown["rows"]
    assert "***" in shown["log"]
    assert not [where for where, text in shown.items() if MARKER in text]


def test_a_traceback_shows_no_secret_of_the_variables_around_it(
    talking: Settings, logged: io.StringIO
) -> None:
    secret = talking.openai_api_key.get_secret_value() if talking.openai_api_key else ""
    log = structlog.get_logger("test")
    try:
        if len(secret) > 1:
            raise RuntimeError("it broke")
    except RuntimeError:
        log.exception("job_broke", settings=repr(talking))
    assert "it broke" in logged.getvalue()
    assert MARKER not in logged.getvalue()


def test_the_doctor_finds_everything_broken_and_prints_no_secret(tmp_path: Path) -> None:
    environment = process_environment(SECRETS | {"SCENEBOOK_DATA_DIR": str(tmp_path)})
    for command in (["doctor"], ["status"]):
        done = subprocess.run(
            [*COMMAND, *command], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1
        assert done.stdout + done.stderr
        assert MARKER not in done.stdout + done.stderr


@pytest.mark.long
def test_processes_without_database_broker_and_storage_log_no_secret(tmp_path: Path) -> None:
    environment = process_environment(SECRETS | {"SCENEBOOK_DATA_DIR": str(tmp_path)})
    celery = ["-m", "celery", "-A", "worker.app", "worker", "--concurrency=1"]
    for arguments in (["-m", "worker.relay"], celery, ["-m", "api"]):
        with pytest.raises(subprocess.TimeoutExpired) as running:
            subprocess.run(
                [sys.executable, *arguments], env=environment, capture_output=True, timeout=12
            )
        said = (running.value.stdout or b"") + (running.value.stderr or b"")
        assert said
        assert MARKER.encode() not in said

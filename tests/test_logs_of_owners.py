"""The logs of two owners who work at the same time with hostile names: no line mixes them."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg

from scenebook.settings import Settings
from tests.brokers import client_of
from tests.commands import COMMAND
from tests.serving import headers_of, wait_until_it_lives
from tests.stack import Stack, environment, free_port
from tests.test_logs import CELERY, FILM, FORGED, parsed, running

ROUNDS = 6


def _works(url: str, owner: UUID, name: str) -> str:
    """What one owner does, in requests that say whose they are; returns the owner's video."""
    with httpx.Client(base_url=url, headers=headers_of(owner), timeout=30) as client:

        def ask(number: int, method: str, path: str, **more: Any) -> httpx.Response:
            return client.request(
                method, path, headers={"X-Request-Id": f"{name}-{number}"}, **more
            )

        files = {"file": (f"{name}\u202e\x1b[2J.mp4", FILM.read_bytes() + name.encode())}
        added = ask(0, "POST", "/v1/videos", files=files, data={"title": name + FORGED})
        assert added.status_code == 201, added.text
        video = str(added.json()["id"])
        for number in range(ROUNDS):
            ask(100 + number, "GET", f"/v1/videos/{video}")
            ask(200 + number, "POST", "/v1/search", json={"text": f"{name} {FORGED}"})
            ask(300 + number, "GET", f"/v1/videos/{name}%0a%1b[31m")
            ask(400 + number, "GET", "/v1/videos", params={"title": FORGED})
    return video


def test_lines_of_two_owners_at_once_never_mix(
    stack: Stack, tmp_path: Path, alice: UUID, bob: UUID
) -> None:
    port = free_port()
    changes = {"log_format": "json", "log_level": "INFO", "port": port, "worker_concurrency": 2}
    settings = stack.settings.model_copy(update=changes)
    programs = {"api": ["-m", "api"], "relay": ["-m", "worker.relay"], "worker": CELERY}
    owners = {"alice": alice, "bob": bob}
    with running(settings, tmp_path, **programs) as started:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_lives(url, started["api"])
        client_of(settings.redis_url).lpush("scenebook", FORGED)  # Celery's own complaint
        with ThreadPoolExecutor(len(owners)) as pool:
            done = {name: pool.submit(_works, url, owner, name) for name, owner in owners.items()}
        videos = {name: one.result() for name, one in done.items()}
        stack.wait(lambda: not _open_jobs(settings), "every video to be settled")
    lines = {name: parsed(tmp_path / name) for name in programs}
    _no_words_of_strangers_became_lines(lines)
    _requests_are_whose_they_say(lines["api"], owners)
    _jobs_are_whose_their_videos_are(lines["worker"], owners, videos)
    _each_trace_is_of_one_owner([line for some in lines.values() for line in some])


def _open_jobs(settings: Settings) -> int:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute(
            "select count(*) from public.jobs where state in ('queued', 'retryable', 'running')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _no_words_of_strangers_became_lines(lines: dict[str, list[dict[str, Any]]]) -> None:
    for some in lines.values():
        assert not [line for line in some if line["message"] == "forged"]
        for text in (text for line in some for text in line.values() if isinstance(text, str)):
            assert not {"\x1b", "\r", "\u2028", "\u202e"} & set(text)
    assert "message_unreadable" in {line["message"] for line in lines["worker"]}


def _requests_are_whose_they_say(lines: list[dict[str, Any]], owners: dict[str, UUID]) -> None:
    counted: dict[str, int] = defaultdict(int)
    for line in lines:
        name = line.get("request_id", "").rpartition("-")[0]
        if name in owners:
            counted[name] += 1
            assert line["trace_id"]
            assert line.get("owner_id") == str(owners[name]), line
    assert all(counted[name] >= 4 * ROUNDS + 1 for name in owners), counted


def _jobs_are_whose_their_videos_are(
    lines: list[dict[str, Any]], owners: dict[str, UUID], videos: dict[str, str]
) -> None:
    owner_of = {video: str(owners[name]) for name, video in videos.items()}
    about = [line for line in lines if "video_id" in line]
    assert {line["video_id"] for line in about} == set(owner_of)
    for line in about:
        assert line["owner_id"] == owner_of[line["video_id"]], line
        assert {"job_id", "attempt", "trace_id", "stage"} <= line.keys()
    job_of = {line["job_id"]: line["video_id"] for line in about}
    assert all(job_of[line["job_id"]] == line["video_id"] for line in about)
    # Between jobs nothing of the last one is left.
    for line in lines:
        assert ("owner_id" in line) == ("job_id" in line), line


def _each_trace_is_of_one_owner(lines: list[dict[str, Any]]) -> None:
    whose: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if line.get("trace_id") and line.get("owner_id"):
            whose[line["trace_id"]].add(line["owner_id"])
    assert whose
    assert all(len(owners) == 1 for owners in whose.values())


def test_a_trace_leads_from_an_upload_to_all_its_jobs(
    stack: Stack, tmp_path: Path, alice: UUID
) -> None:
    changes = {"log_format": "json", "log_level": "INFO", "worker_concurrency": 1}
    settings = stack.settings.model_copy(update=changes)
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM.read_bytes() + b"trace")
    with running(settings, tmp_path, relay=["-m", "worker.relay"], worker=CELERY):
        environ = environment(settings) | {"SCENEBOOK_OWNER": str(alice)}
        done = subprocess.run(
            [*COMMAND, "index", str(film), "--json"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
    (video,) = json.loads(done.stdout)
    jobs = [line for line in parsed(tmp_path / "worker") if line.get("video_id") == video["id"]]
    assert len(jobs) >= 7
    assert len({line["trace_id"] for line in jobs}) == 1


def test_what_libraries_say_of_a_broker_that_is_away_is_a_line_too(
    stack: Stack, tmp_path: Path
) -> None:
    url = "redis://:s3cret-pass@127.0.0.1:1/0"
    away = stack.settings.model_copy(update={"redis_url": url, "log_level": "INFO"})
    with running(away, tmp_path, worker=CELERY) as started:
        log = tmp_path / "worker"
        stack.wait(lambda: "127.0.0.1:1" in log.read_text(), "Celery to say that it is away")
        assert started["worker"].poll() is None
    assert "s3cret-pass" not in log.read_text()
    assert "celery.worker.consumer.consumer" in {line["logger"] for line in parsed(log)}

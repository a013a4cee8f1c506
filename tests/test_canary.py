"""The canary goes the whole way, says where it stopped and why, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from scenebook.cli import canary, canary_film, canary_views
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.remote import at_service
from scenebook.cli.workplace import workplace
from scenebook.db import workers
from scenebook.db.engine import Database, Role
from scenebook.model import Video, VideoStatus
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import add_video
from tests.commands import COMMAND
from tests.indexed import FAKE_CLIP
from tests.pipelines import a_pipeline, stored_files
from tests.serving import headers_of, running_api, token_of
from tests.stack import environment

FLOWN = [
    "canary upload",
    "canary indexing",
    "canary search by words",
    "canary search by what is seen",
    "canary picture and stream",
    "canary other owners",
    "canary removal",
]


def flown(place: Any, *, timeout_s: float = 60) -> dict[str, Check]:
    told: list[Check] = []
    canary.fly(place, canary_views.of(place), timeout_s=timeout_s, tell=told.append)
    return {check.name: check for check in told}


def verdicts(checks: dict[str, Check]) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in checks.items()}


@contextmanager
def at(url: str, owner: UUID) -> Iterator[Any]:
    """A service as this owner reaches it."""
    far = Settings(scenebook_url=url, scenebook_api_key=SecretStr(token_of(owner)))  # type: ignore[call-arg]
    with at_service(far, owner=None) as place:
        yield place


def videos_of(settings: Settings, owner: UUID) -> list[tuple[str, str]]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(
            "select title, status from public.videos where owner_id = %s order by title", (owner,)
        ).fetchall()


def a_video(settings: Settings, owner: UUID, path: Path) -> Video:
    assert settings.database_url is not None
    db = Database(settings.database_url, role=Role.API, pool_size=1)
    try:
        return add_video(db, Storage(settings.storage), owner_id=owner, path=path).video
    finally:
        db.close()


@pytest.fixture
def seeing(settings: Settings) -> Settings:
    return settings.model_copy(update=FAKE_CLIP)


def test_at_a_service_it_is_found_shown_and_leaves_nothing(
    seeing: Settings, alice: UUID, bob: UUID, tmp_path: Path
) -> None:
    with a_pipeline(seeing) as pipeline, running_api(seeing) as url:
        theirs = canary_film.make(tmp_path)
        other = pipeline.index(theirs.path, owner_id=bob, transcript=theirs.transcript)
        before = stored_files(seeing)
        with pipeline.at_work(), at(url, alice) as place:
            checks = flown(place)
        assert list(checks) == FLOWN
        assert set(verdicts(checks).values()) == {Verdict.OK}, checks
        assert all(check.seconds is not None for check in checks.values())
        assert "signed URLs" in checks["canary picture and stream"].detail
        assert stored_files(seeing) == before
    assert videos_of(seeing, alice) == []
    assert videos_of(seeing, bob) == [(other.title, "ready")]


def test_on_the_servers_it_takes_the_same_way(settings: Settings, alice: UUID) -> None:
    with (
        a_pipeline(settings) as pipeline,
        pipeline.at_work(),
        workplace(settings, owner=str(alice)) as place,
    ):
        checks = flown(place)
    found = verdicts(checks)
    assert found.pop("canary search by what is seen") is Verdict.OFF
    assert set(found.values()) == {Verdict.OK}, checks
    assert stored_files(settings) == []


def test_the_shipped_model_finds_what_is_drawn(settings: Settings, alice: UUID) -> None:
    figures = {"clip_enabled": True, "clip_model_name": "figures", "clip_timeout_s": 60.0}
    drawing = settings.model_copy(update=figures)
    with (
        a_pipeline(drawing) as pipeline,
        pipeline.at_work(),
        workplace(drawing, owner=str(alice)) as place,
    ):
        checks = flown(place)
        assert checks["canary search by what is seen"].verdict is Verdict.OK, checks


def beat(settings: Settings, *kinds: Any) -> None:
    assert settings.database_url is not None
    db = Database(settings.database_url, role=Role.RELAY, pool_size=1)
    with db.across_owners() as tx:
        for kind in kinds:
            workers.beat(tx, f"a-{kind}", kind=kind)
    db.close()


@pytest.mark.parametrize(
    ("alive", "said"),
    [
        ((), "No worker is alive: nobody does what is to be done; No relay is alive"),
        (("worker",), "No relay is alive: nobody rings"),
        (("relay",), "No worker is alive: nobody does"),
        (("worker", "relay"), "Worker and relay live."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_when_nobody_takes_the_job_it_says_who_is_missing(
    settings: Settings,
    alice: UUID,
    monkeypatch: pytest.MonkeyPatch,
    alive: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(canary, "PATIENCE_S", 0.3)
    beat(settings, *alive)
    with workplace(settings, owner=str(alice)) as place:
        checks = flown(place, timeout_s=20)
    assert list(checks) == ["canary upload", "canary indexing", "canary removal"]
    stopped = checks["canary indexing"]
    assert stopped.verdict is Verdict.FAIL
    assert stopped.detail.startswith("nobody took the job within")
    assert stopped.remedy is not None
    assert stopped.remedy.startswith(said)
    assert checks["canary removal"].verdict is Verdict.WARN
    assert [status for _, status in videos_of(settings, alice)] == ["deleting"]


def test_a_service_without_workers_is_given_up_at_the_deadline(
    settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "REMOVAL_S", 0.3)
    with running_api(settings) as url, at(url, alice) as place:
        checks = flown(place, timeout_s=5)
    stopped = checks["canary indexing"]
    assert "probe queued" in stopped.detail
    assert "Is a relay running? Is a worker running?" in (stopped.remedy or "")
    assert checks["canary removal"].verdict is Verdict.FAIL
    assert [status for _, status in videos_of(settings, alice)] == ["deleting"]


def test_a_channel_that_fails_is_named_and_the_rest_is_proved(
    settings: Settings, alice: UUID
) -> None:
    broken = settings.model_copy(
        update={
            "text_embedding_provider": "openai",
            "openai_api_key": SecretStr("sk-nothing"),
            "openai_base_url": "http://127.0.0.1:1/v1",
            "openai_max_retries": 0,
            "job_max_attempts": 1,
            "description_max_calls": 0,
        }
    )
    with (
        a_pipeline(broken) as pipeline,
        pipeline.at_work(),
        workplace(broken, owner=str(alice)) as place,
    ):
        checks = flown(place)
    assert "transcript" in checks["canary indexing"].detail
    assert checks["canary indexing"].verdict is Verdict.FAIL
    assert checks["canary search by words"].detail.endswith("is found by lexical")
    assert checks["canary removal"].verdict is Verdict.OK
    assert videos_of(settings, alice) == []


def test_whoever_shows_videos_without_a_key_is_found_out(settings: Settings, alice: UUID) -> None:
    with (
        a_pipeline(settings) as pipeline,
        pipeline.at_work(),
        running_api(settings, auth_mode="dev", scenebook_owner=str(alice)) as url,
        at(url, alice) as place,
    ):
        checks = flown(place)
    assert checks["canary other owners"].verdict is Verdict.FAIL
    assert "answers 200" in checks["canary other owners"].detail
    assert checks["canary removal"].verdict is Verdict.OK


def test_a_file_that_is_not_shared_is_named(
    settings: Settings, alice: UUID, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"storage_url": (tmp_path / "other").as_uri()})
    with (
        a_pipeline(settings) as pipeline,
        pipeline.at_work(),
        workplace(elsewhere, owner=str(alice)) as place,
    ):
        checks = flown(place)
    assert checks["canary indexing"].verdict is Verdict.FAIL
    assert checks["canary indexing"].detail.startswith("failed: ")
    assert checks["canary removal"].verdict is Verdict.FAIL
    assert "2 files are left" in checks["canary removal"].detail


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_ctrl_c_the_video_is_removed(settings: Settings, alice: UUID, tmp_path: Path) -> None:
    with a_pipeline(settings) as pipeline, running_api(settings) as url:
        environ = environment(settings) | {
            "SCENEBOOK_URL": url,
            "SCENEBOOK_API_KEY": token_of(alice),
        }
        running = subprocess.Popen(
            [*COMMAND, "doctor", "--canary"], env=environ, cwd=tmp_path, stdout=subprocess.PIPE
        )
        try:
            until(lambda: [status for _, status in videos_of(settings, alice)] == ["waiting"])
            running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=60)
        finally:
            running.kill()
            running.wait()
        assert running.returncode == 130
        assert "✓ canary removal: it is hidden" in out.decode()
        assert [status for _, status in videos_of(settings, alice)] == ["deleting"]
        pipeline.work()
    assert videos_of(settings, alice) == []
    assert stored_files(settings) == []


def test_what_a_killed_canary_left_is_removed_and_nothing_else(
    settings: Settings, alice: UUID, bob: UUID, tmp_path: Path
) -> None:
    assert settings.database_url is not None
    old, fresh, theirs = (canary_film.make(tmp_path) for _ in range(3))
    like = tmp_path / "scenebook-canary-mine.mp4"
    like.write_bytes(old.content + b"\0\0\0\x08free")
    for owner, path in ((alice, old.path), (alice, fresh.path), (alice, like), (bob, theirs.path)):
        a_video(settings, owner, path)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "update public.videos set created_at = now() - interval '3 hours' where title <> %s",
            (fresh.title,),
        )
    with (
        a_pipeline(settings) as pipeline,
        pipeline.at_work(),
        workplace(settings, owner=str(alice)) as place,
    ):
        assert flown(place)["canary removal"].verdict is Verdict.OK
    left = {title for title, status in videos_of(settings, alice) if status != "deleting"}
    assert left == {fresh.title, like.name}
    assert [title for title, _ in videos_of(settings, bob)] == [theirs.title]


def test_its_film_is_small_and_each_is_like_no_other(tmp_path: Path) -> None:
    one, other = canary_film.make(tmp_path), canary_film.make(tmp_path)
    assert one.content != other.content
    assert one.words != other.words
    assert len(one.content) < 20_000
    assert canary_film.TITLE.fullmatch(one.title)


def test_another_owner_is_told_nothing_of_it(
    settings: Settings, alice: UUID, bob: UUID, tmp_path: Path
) -> None:
    video = a_video(settings, alice, canary_film.make(tmp_path).path)
    with running_api(settings) as url:
        theirs = httpx.get(f"{url}/v1/videos/{video.id}", headers=headers_of(bob))
        assert theirs.status_code == 404
        with workplace(settings, owner=str(alice)) as place:
            assert canary_views.of(place).keep_out(video.id).verdict is Verdict.OK
        assert video.status is VideoStatus.WAITING

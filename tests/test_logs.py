"""The log of a real run: every line is one JSON object, whoever chose the words in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from pydantic import SecretStr

from scenebook import logs, tracing
from scenebook.embedded.process import start_tethered, stop_process
from scenebook.settings import Settings
from scenebook.turns import Turns
from tests.serving import JWT_SECRET, headers_of, token_of, wait_until_it_lives
from tests.stack import Stack, environment, free_port

FILM = Path(__file__).parent / "media" / "edge" / "rotate_90.mov"
FORGED = '\r\n{"level": "info", "message": "forged"}\r\n\x1b[31mred\x1b[0m\u2028'
# Requests, jobs and their children; what a stage says of each scene would be more.
MOST_LINES_OF_A_VIDEO = 60
# As `scenebook up` starts it.
CELERY = ["-W", "ignore", "-m", "celery", "--quiet", "-A", "worker.app", "worker",
          "--without-gossip", "--without-mingle", "-O", "fair"]  # fmt: skip


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The log of this process, as it was before it was configured."""
    root = logging.getLogger()
    before = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers, root.level = before
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_words_of_strangers_cannot_forge_a_line_or_colour_a_terminal(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(Settings(log_format=log_format))  # type: ignore[arg-type]
    structlog.get_logger("ours").warning("one", title=FORGED)
    logging.getLogger("theirs").warning("two %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger("ours").exception("three")
    written = capsys.readouterr().err
    own = "\x1b[" if log_format == "console" else None  # colours of our own end as they began
    assert "\x1b[31mred" not in written
    assert "\r" not in written
    assert "\u2028" not in written
    if own is None:
        lines = [json.loads(line) for line in written.splitlines()]
        assert [line["message"][:5] for line in lines] == ["one", "two \\", "three"]
        assert not [line for line in lines if line["message"] == "forged"]
    else:
        first, second, *_ = written.splitlines()
        assert "forged" in first
        assert "forged" in second


def test_what_python_itself_would_print_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("something is old", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="the-one")
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("no"), None)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "something is old" in lines[0]["message"]
    assert (lines[1]["message"], lines[1]["thread"]) == ("thread_broke", "the-one")
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert lines[2]["message"] == "process_broke"


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    def strict(word: str) -> Any:
        raise ValueError(f"JSON knows no {word}")

    lines = capsys.readouterr().err.splitlines()
    return [json.loads(line, parse_constant=strict) for line in lines]


class Unspeakable:
    """Breaks whoever asks how it looks."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_values_of_every_kind_are_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    video = UUID("9d07c849-e2bb-46f5-b530-e1eefe003740")
    structlog.get_logger("ours").warning(
        "one", deep={FORGED: [FORGED, (FORGED,)]}, number=float("nan"), of=Unspeakable(),
        video_id=video, raw=FORGED.encode(), error=ValueError(FORGED), half="\ud800",
        long="-eyJ" * 250_000,  # as many beginnings of a token: each is looked at once
    )  # fmt: skip
    logging.getLogger("theirs").warning("%d of %s", "one")
    (line, broken) = written(capsys)
    assert line["video_id"] == str(video)
    assert line["number"] == "nan"
    assert "RuntimeError" in line["of"]
    assert len(line["long"]) < logs.LONGEST_TEXT + 100
    assert not {"\x1b", "\r", "\u2028", "\ud800"} & set("".join(map(str, _texts(line))))
    assert (broken["message"], broken["of"]) == ("record_unreadable", "theirs")


WRITER = """
import sys
import structlog
from scenebook import logs
from scenebook.settings import Settings

logs.configure(Settings(log_format="json"))
for _ in range(500):
    structlog.get_logger().info("one", owner=sys.argv[1], text=sys.argv[1] * 6000)
"""


def test_long_lines_of_processes_that_share_a_pipe_never_mix() -> None:
    end, beginning = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, one], stderr=beginning) for one in "abcd"
    ]
    os.close(beginning)
    with open(end, "rb") as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(lines) == 4 * 500
    assert all(line["text"] == line["owner"] * 6000 for line in lines)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, one in value.items():
                yield key
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)
        case _:
            yield str(value)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_holds_a_secret_whoever_says_it(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    password, key = "p%40ss-of-ours", "k" * 40
    settings = Settings(
        log_format=log_format,  # type: ignore[arg-type]
        database_url=f"postgresql://me:{password}@db/x",
        scenebook_secret_key=SecretStr(key),
    )
    logs.configure(settings)
    token = token_of(UUID(int=1))
    said = (
        f"{settings.database_url} p@ss-of-ours {key} redis://:elsewhere-too@redis/0 "
        f"sbk_0123456789abcdef Authorization: Bearer {token} /v1/videos/x/stream?token=abc.def-1"
    )
    logging.getLogger("theirs").warning("connecting to %s", said)
    structlog.get_logger("ours").warning("one", deep={"said": [said]})
    try:
        raise RuntimeError(said)
    except RuntimeError:
        structlog.get_logger("ours").exception("two")
    text = capsys.readouterr().err
    assert text.count("connecting to") == 1
    for secret in (password, "p@ss", key, "elsewhere", "0123456789", token, "eyJ", "abc.def"):
        assert secret not in text, secret
    assert "@db/x" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", shown)
    logs.configure(Settings(log_format="console"))
    structlog.get_logger("ours").warning("video_added", title="holiday")
    assert ("\x1b[" in shown.getvalue()) is terminal
    assert "holiday" in shown.getvalue()
    logs.configure(Settings(log_format="auto"))
    structlog.get_logger("ours").warning("again")
    assert shown.getvalue().splitlines()[-1].startswith("{") is not terminal


def test_a_traceback_in_a_terminal_cannot_colour_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings(log_format="console"))
    sys.excepthook(ValueError, ValueError(FORGED), None)
    shown = capsys.readouterr().err
    assert "process_broke" in shown
    assert not {"\x1b", "\r", "\u2028"} & set(shown)


def test_what_breaks_in_a_finaliser_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    class Breaks:
        def __del__(self) -> None:
            raise ValueError(FORGED)

    logs.configure(Settings(log_format="json"))
    Breaks()
    (line,) = written(capsys)
    assert line["message"] == "finaliser_broke"
    assert "ValueError" in line["exception"]


def test_what_is_bound_for_one_task_is_not_seen_by_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings(log_format="json"))

    async def work(owner: str) -> None:
        with tracing.continued(None), structlog.contextvars.bound_contextvars(owner_id=owner):
            for number in range(20):
                await asyncio.sleep(0)
                structlog.get_logger(owner).warning("step", number=number)

    async def both() -> None:
        await asyncio.gather(work("alice"), work("bob"))

    asyncio.run(both())
    structlog.get_logger("nobody").warning("after")
    *steps, after = written(capsys)
    assert len(steps) == 40
    assert all(line["owner_id"] == line["logger"] for line in steps)
    assert "owner_id" not in after


def test_a_thread_that_works_for_many_logs_the_ids_of_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings(log_format="json"))
    turns = Turns("for-many")
    for owner in ("alice", "bob", None):
        bound = {} if owner is None else {"owner_id": owner, "request_id": f"{owner}-1"}
        with structlog.contextvars.bound_contextvars(**bound):
            turns.do(lambda: structlog.get_logger("model").warning("encoded"), within_s=10)
    turns.close()
    alice, bob, nobody = written(capsys)
    assert (alice["owner_id"], bob["owner_id"]) == ("alice", "bob")
    assert not {"owner_id", "request_id"} & nobody.keys()


def parsed(path: Path) -> list[dict[str, Any]]:
    """Every line of what a process wrote to both of its streams."""
    found = []
    for line in path.read_bytes().decode().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            raise AssertionError(f"{path.name}: no JSON: {line!r}") from None
        assert {"level", "message", "timestamp"} <= found[-1].keys(), line
        at = datetime.fromisoformat(found[-1]["timestamp"])
        assert at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=10)
    assert found, f"{path.name} is empty"
    return found


@contextmanager
def running(settings: Settings, home: Path, **programs: list[str]) -> Iterator[dict[str, Any]]:
    """Programs whose every output goes into a file of their name."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in programs.items():
            with (home / name).open("wb") as log:
                started[name] = start_tethered(
                    [sys.executable, *arguments], environment=environment(settings), log=log
                )
        yield started
    finally:
        for process in started.values():
            stop_process(process, signals={signal.SIGTERM: 15.0, signal.SIGKILL: 5.0})


def test_every_line_of_a_real_run_is_json_with_ids_and_without_secrets(
    stack: Stack, tmp_path: Path, alice: UUID, bob: UUID
) -> None:
    port = free_port()
    wanted = {"log_format": "json", "log_level": "INFO", "port": port, "worker_concurrency": 1}
    settings = stack.settings.model_copy(update=wanted)
    programs = {"api": ["-m", "api"], "relay": ["-m", "worker.relay"], "worker": CELERY}
    with running(settings, tmp_path, **programs) as started:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_lives(url, started["api"])
        videos = [
            _added(url, owner, named) for owner, named in ((alice, "one"), (bob, FORGED + "two"))
        ]
        _ask_oddly(url, alice)
        for owner, video in zip((alice, bob), videos, strict=True):
            _settled(url, owner, video)
    lines = {name: parsed(tmp_path / name) for name in programs}
    assert "worker_draining" in {line["message"] for line in lines["worker"]}
    assert "forged" not in {line["message"] for some in lines.values() for line in some}
    requests = [line for line in lines["api"] if line["message"] == "request"]
    assert all({"request_id", "trace_id", "status"} <= line.keys() for line in requests)
    jobs = [line for line in lines["worker"] if line["message"] == "job_done"]
    ids = {"owner_id", "video_id", "job_id", "attempt", "lease_token", "trace_id"}
    assert len(jobs) >= 14
    assert all(ids <= line.keys() for line in jobs)
    owner_of = {line["video_id"]: line["owner_id"] for line in jobs}
    assert owner_of == dict(zip(videos, (str(alice), str(bob)), strict=True))
    most = sum(len(some) for some in lines.values()) / len(videos)
    assert most <= MOST_LINES_OF_A_VIDEO
    written = "".join((tmp_path / name).read_text() for name in programs)
    for secret in (JWT_SECRET, headers_of(alice)["Authorization"].split(".")[2], "sbk_stolen"):
        assert secret not in written
    assert "what+somebody+searches" not in written


def _added(url: str, owner: UUID, title: str) -> str:
    files = {"file": ("film\x1b[31m.mp4", FILM.read_bytes() + title.encode())}
    answer = httpx.post(f"{url}/v1/videos", files=files, headers=headers_of(owner), timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _ask_oddly(url: str, owner: UUID) -> None:
    """Requests whose parts would like to be lines of the log."""
    httpx.get(f"{url}/v1/videos/%0d%0a%1b%5b31mred?q=what+somebody+searches")
    httpx.get(f"{url}/v1/keys", headers={"X-Api-Key": "sbk_stolen_0123456789", "X-Request-Id": "a"})
    httpx.post(f"{url}/v1/search", json={"text": FORGED}, headers=headers_of(owner))
    httpx.get(f"{url}/v1/videos", headers=headers_of(owner) | {"User-Agent": "\x1b[31m"})


def _settled(url: str, owner: UUID, video: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        answer = httpx.get(f"{url}/v1/videos/{video}", headers=headers_of(owner)).json()
        if answer["status"] in ("ready", "partial", "failed"):
            return
        time.sleep(1)
    raise AssertionError(f"waited 90 s for {video}: {answer}")

"""Imports from a URL: fetched by the workers, the same as an upload afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from scenebook.model import SETTLED, Stage, Video, VideoStatus
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import get_video, retry_video
from tests.pipelines import Pipeline
from tests.serving import api_in_process, headers_of
from tests.test_uploads import upload

VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning\n"
FILM = (Path(__file__).parent / "media" / "edge" / "rotate_90.mov").read_bytes()


class Films(BaseHTTPRequestHandler):
    """Gives the film after as many refusals as `statuses` holds."""

    statuses: list[int]

    def do_GET(self) -> None:
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.send_header("Content-Length", str(len(FILM)))
        self.end_headers()
        self.wfile.write(FILM)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def films() -> Iterator[str]:
    """The URL of a film on this machine."""
    Films.statuses = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Films)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/films/My%20film.mov?key=1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Only here this machine may be reached."""
    return settings.model_copy(update={"fetch_allow_hosts": "127.0.0.1", "job_max_attempts": 2})


def ask(api: TestClient, owner: UUID, url: str, **more: object) -> Any:
    """One request to import."""
    return api.post("/v1/videos", json={"url": url} | more, headers=headers_of(owner))


def worked(pipeline: Pipeline, owner: UUID, answer: Any) -> Video:
    """The video after all of its work."""
    pipeline.work()
    return get_video(pipeline.tools.db, owner_id=owner, video_id=UUID(answer.json()["id"]))


def test_an_import_becomes_a_video_like_an_upload(
    api: TestClient, pipeline: Pipeline, alice: UUID, bob: UUID, films: str
) -> None:
    answer = ask(api, alice, films, language="de", metadata={"from": "the web"})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["status"], body["title"], body["source_url"]) == ("waiting", "My film.mov", films)
    assert (body["bytes"], body["created"]) == (0, True)
    assert pipeline.work(until=Stage.FETCH) == [Stage.FETCH]
    progress = api.get(answer.headers["location"], headers=headers_of(alice)).json()
    assert [one["stage"] for one in progress["stages"]] == ["fetch", "probe"]
    video = worked(pipeline, alice, answer)
    assert video.status in (VideoStatus.READY, VideoStatus.PARTIAL)
    assert (video.bytes, video.language) == (len(FILM), "german")
    assert pipeline.tools.storage.get(video.source_key) == FILM
    assert video.metadata["own"] == {"from": "the web"}
    assert upload(api, alice, FILM).json()["id"] == body["id"]
    assert upload(api, bob, FILM).status_code == 201


def test_a_transcript_comes_with_an_import(
    api: TestClient, pipeline: Pipeline, alice: UUID, films: str
) -> None:
    answer = ask(api, alice, films, transcript=VTT)
    video = worked(pipeline, alice, answer)
    assert pipeline.tools.storage.get(str(video.transcript_key)) == VTT.encode()
    url = f"{answer.headers['location']}/transcript"
    (line,) = api.get(url, headers=headers_of(alice)).json()["utterances"]
    assert line["text"] == "Good morning"


@pytest.mark.parametrize(
    ("words", "before", "refused"),
    [("no subtitles", 0, 422), ("a\0b", 0, 422), (VTT, 1, 429)],
)
def test_a_transcript_of_an_import_that_is_refused_is_not_stored(
    settings: Settings, alice: UUID, films: str, words: str, before: int, refused: int
) -> None:
    with api_in_process(settings.model_copy(update={"owner_max_videos": 1})) as api:
        for _ in range(before):
            assert ask(api, alice, films).status_code == 202
        assert ask(api, alice, films, transcript=words).status_code == refused
    assert Storage(settings.storage).list_prefix(str(alice)) == {}


def test_an_import_of_known_bytes_fails_and_names_the_video_of_the_same_owner(
    api: TestClient, pipeline: Pipeline, alice: UUID, bob: UUID, films: str
) -> None:
    known = upload(api, alice, FILM).json()["id"]
    again = worked(pipeline, alice, ask(api, alice, films))
    assert (again.status, again.failed_stage) == (VideoStatus.FAILED, "fetch")
    assert again.reason == f"This video is stored already as {known}."
    assert pipeline.tools.storage.list_prefix(again.source_key) == {}
    bobs = worked(pipeline, bob, ask(api, bob, films))
    assert bobs.status in SETTLED - {VideoStatus.FAILED}


def test_an_import_is_tried_again_where_that_may_help(
    api: TestClient, pipeline: Pipeline, alice: UUID, films: str
) -> None:
    Films.statuses = [503]
    assert worked(pipeline, alice, ask(api, alice, films)).content_hash is not None


def test_an_import_that_failed_can_be_retried(
    api: TestClient, pipeline: Pipeline, alice: UUID, films: str
) -> None:
    Films.statuses = [404]
    failed = worked(pipeline, alice, ask(api, alice, films))
    assert (failed.status, failed.failed_stage) == (VideoStatus.FAILED, "fetch")
    assert failed.reason == "The URL's host answered with status 404."
    retry_video(pipeline.tools.db, owner_id=alice, video_id=failed.id)
    assert pipeline.work()[:2] == [Stage.FETCH, Stage.PROBE]
    video = get_video(pipeline.tools.db, owner_id=alice, video_id=failed.id)
    assert video.status in (VideoStatus.READY, VideoStatus.PARTIAL)
    assert (video.failed_stage, video.bytes) == (None, len(FILM))


def test_an_import_that_is_too_large_or_beyond_the_quota_fails(
    api: TestClient, settings: Settings, pipeline: Pipeline, alice: UUID, films: str
) -> None:
    for change, reason in [
        ({"media_max_bytes": 1000}, "larger than 1000 bytes"),
        ({"owner_max_bytes": 1000}, "1000 are allowed"),
    ]:
        pipeline.tools = type(pipeline.tools)(
            **vars(pipeline.tools) | {"settings": settings.model_copy(update=change)}
        )
        failed = worked(pipeline, alice, ask(api, alice, films))
        assert failed.status is VideoStatus.FAILED
        assert reason in (failed.reason or "")
        assert pipeline.tools.storage.list_prefix(failed.source_key) == {}


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/a.mp4",
    "http://localhost/a.mp4",
    "http://redis.railway.internal:8080/a.mp4",
    "file:///etc/passwd",
    "https://user:password@example.org/a.mp4",
]


def test_a_url_that_must_not_be_fetched_is_refused_at_once(api: TestClient, alice: UUID) -> None:
    for url in FORBIDDEN:
        answer = ask(api, alice, url)
        assert (answer.status_code, answer.json()["code"]) == (422, "url_not_allowed"), url
    assert api.get("/v1/videos", headers=headers_of(alice)).json()["data"] == []


def test_imports_count_among_the_videos_of_the_quota(
    api: TestClient, alice: UUID, bob: UUID, films: str, settings: Settings
) -> None:
    with api_in_process(settings.model_copy(update={"owner_max_videos": 1})) as limited:
        assert ask(limited, alice, films).status_code == 202
        answer = ask(limited, alice, films)
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
        assert ask(limited, bob, films).status_code == 202

"""Storage that is gone, blocked or full: work waits, requests are told, nothing is lost."""

from __future__ import annotations

import resource
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from starlette.testclient import TestClient

from scenebook import local_disk
from scenebook.addresses import addresses_of, place_of
from scenebook.errors import OutOfReach, ScenebookError, Unavailable
from scenebook.fetching import download
from scenebook.model import Stage, VideoStatus
from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.videos import add_video, get_video
from tests.pipelines import Pipeline
from tests.serving import headers_of
from tests.test_fetching import CONTENT, HERE, site
from tests.test_tus import begin, offset_of, patch
from tests.test_uploads import FILM, upload

__all__ = ["site"]  # a fixture

# What a busy machine may add to a promised bound.
BUSY_S = 5.0
FITS = 200_000
LARGE = bytes(range(256)) * 8000


def root_of(settings: Settings) -> Path:
    return Path(settings.storage.removeprefix("file://"))


@contextmanager
def away(root: Path) -> Iterator[None]:
    """The directory is not there."""
    elsewhere = root.with_name("elsewhere")
    root.rename(elsewhere)
    try:
        yield
    finally:
        shutil.rmtree(root, ignore_errors=True)
        elsewhere.rename(root)


@contextmanager
def full() -> Iterator[None]:
    """This process can write no large file, as on a full disk; what it logs still fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FITS, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_below(directory: Path) -> list[Path]:
    return [one for one in directory.rglob("*") if one.is_file() and not one.name.startswith(".")]


class TestWork:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """A failure of a job's own is final."""
        return settings.model_copy(update={"job_max_attempts": 2})

    def test_storage_that_takes_nothing_is_waited_for_and_uses_up_no_attempt(
        self, pipeline: Pipeline, alice: UUID
    ) -> None:
        tools = pipeline.tools
        video = add_video(tools.db, tools.storage, owner_id=alice, path=FILM).video
        blocked = root_of(tools.settings) / str(alice) / str(video.id) / "g1"
        blocked.write_text("a file where pictures should go")
        back = threading.Timer(3.0, blocked.unlink)
        back.start()
        pipeline.work()
        back.join()
        done = get_video(tools.db, owner_id=alice, video_id=video.id)
        assert done.status in (VideoStatus.READY, VideoStatus.PARTIAL)
        assert done.scene_count
        with psycopg.connect(str(tools.settings.database_url)) as connection:
            (errors, attempts) = connection.execute(
                "select jsonb_array_length(errors), attempt from public.jobs"
                " where video_id = %s and stage = 'segment'",
                (video.id,),
            ).fetchone() or (0, 0)
        # More often than a job may fail, and none of it counts.
        assert errors > tools.settings.job_max_attempts
        assert attempts == 1

    def test_storage_that_takes_nothing_for_a_day_fails_the_job_in_the_end(
        self, pipeline: Pipeline, alice: UUID
    ) -> None:
        tools = pipeline.tools
        video = add_video(tools.db, tools.storage, owner_id=alice, path=FILM).video
        pipeline.work(until=Stage.PROBE)
        blocked = root_of(tools.settings) / str(alice) / str(video.id) / "g1"
        blocked.write_text("a file where pictures should go")
        with psycopg.connect(str(tools.settings.database_url)) as connection:
            connection.execute("update public.jobs set created_at = now() - interval '25 hours'")
        pipeline.work()
        failed = get_video(tools.db, owner_id=alice, video_id=video.id)
        assert (failed.status, failed.failed_stage) == (VideoStatus.FAILED, "segment")

    def test_a_worker_without_room_for_the_source_says_so_and_tries_again_a_few_times(
        self, pipeline: Pipeline, alice: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tools = pipeline.tools
        monkeypatch.setattr(local_disk, "HEADROOM", 1 << 60)
        video = add_video(tools.db, tools.storage, owner_id=alice, path=FILM).video
        pipeline.work(until=Stage.PROBE)
        with psycopg.connect(str(tools.settings.database_url)) as connection:
            state, errors = connection.execute(
                "select state, errors from public.jobs where video_id = %s", (video.id,)
            ).fetchone() or ("", [])
        assert (state, errors[0]["code"]) == ("retryable", "disk_full")
        assert "Free some space" in errors[0]["message"]
        monkeypatch.undo()
        pipeline.work()
        done = get_video(tools.db, owner_id=alice, video_id=video.id)
        assert done.status in (VideoStatus.READY, VideoStatus.PARTIAL)

    def test_a_full_disk_stops_a_download_before_or_while_it_is_written(
        self, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "film"

        def get() -> ScenebookError:
            with pytest.raises(OutOfReach) as raised:
                download(f"{site}/film.mp4", path, timeout_s=5, max_bytes=10**6, allow_hosts=HERE)
            assert raised.value.retryable
            return raised.value

        with full():
            assert get().code == "disk_full"
        path.unlink()
        monkeypatch.setattr(local_disk, "HEADROOM", 1 << 60)
        assert get().code == "disk_full"
        assert not path.exists()
        monkeypatch.undo()
        download(f"{site}/film.mp4", path, timeout_s=5, max_bytes=10**6, allow_hosts=HERE)
        assert path.read_bytes() == CONTENT


class TestRequests:
    @pytest.fixture
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The temporary directory of the service in this process."""
        directory = tmp_path / "temporary"
        directory.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(directory))
        return directory

    @staticmethod
    def refused(answer: Any) -> None:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert "storage" not in answer.json()["detail"]

    def test_an_upload_without_storage_is_told_to_come_again_and_then_taken(
        self, api: TestClient, settings: Settings, alice: UUID, temporary: Path
    ) -> None:
        root = root_of(settings)
        with away(root):
            self.refused(upload(api, alice, LARGE))
        assert files_below(root) == files_below(temporary) == []
        answer = upload(api, alice, LARGE)
        assert answer.status_code == 201
        assert Storage(settings.storage).list_prefix(str(alice)).values()
        assert len(api.get("/v1/videos", headers=headers_of(alice)).json()["data"]) == 1

    def test_a_resumable_upload_goes_on_where_it_was_when_storage_is_back(
        self, api: TestClient, settings: Settings, alice: UUID
    ) -> None:
        content = LARGE
        url = begin(api, alice, len(content)).headers["location"]
        assert patch(api, alice, url, 0, content[:1000]).status_code == 204
        for trouble in (away(root_of(settings)), full()):
            with trouble:
                self.refused(patch(api, alice, url, 1000, content[1000:]))
            assert offset_of(api, alice, url) == 1000
        assert patch(api, alice, url, 1000, content[1000:]).status_code == 204
        [video] = api.get("/v1/videos", headers=headers_of(alice)).json()["data"]
        source = f"{alice}/{video['id']}/source"
        assert Storage(settings.storage).get(source) == content

    def test_an_upload_onto_a_full_disk_is_told_to_come_again_and_leaves_nothing(
        self, api: TestClient, settings: Settings, alice: UUID, temporary: Path
    ) -> None:
        with full():
            self.refused(upload(api, alice, LARGE))
        assert files_below(root_of(settings)) == []
        assert list(temporary.iterdir()) == []
        assert upload(api, alice, LARGE).status_code == 201


class TestBuckets:
    @pytest.fixture
    def silent(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A bucket whose server takes connections and never answers."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            for name, value in {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "here",
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }.items():
                monkeypatch.setenv(name, value)
            yield

    @pytest.mark.usefixtures("silent")
    def test_a_bucket_that_never_answers_is_given_up(self) -> None:
        storage = Storage("s3://bucket/prefix", silence_s=0.5)
        for ask in (lambda: storage.size("key"), lambda: storage.put("key", b"bytes")):
            began = time.monotonic()
            with pytest.raises(OutOfReach):
                ask()
            assert time.monotonic() - began < 3 * 0.5 + BUSY_S


class TestNames:
    def test_name_servers_that_hang_are_given_up_and_hold_no_more_than_so_many_threads(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()

        def hanging(_host: str, _port: int) -> list[str]:
            go_on.wait(30)
            return ["93.184.215.14"]

        monkeypatch.setattr("scenebook.addresses._look_ups", threading.BoundedSemaphore(3))
        before = threading.active_count()
        place = place_of("http://example.org/")
        for _ in range(6):
            began = time.monotonic()
            with pytest.raises(Unavailable, match="cannot be looked up now"):
                addresses_of(place, resolver=hanging, within_s=0.05)
            assert time.monotonic() - began < 0.05 + BUSY_S
        assert threading.active_count() <= before + 3
        go_on.set()
        assert addresses_of(place, resolver=hanging) == ["93.184.215.14"]

"""Storage and rows are compared in both directions, and what differs is mended or said."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from scenebook import reconciling as domain
from scenebook.cli import commands, reconciling, todo
from scenebook.db.engine import Database, Role
from scenebook.incoming import About
from scenebook.model import Video, VideoStatus
from scenebook.reconciling import Difference, Finding, Reconciling, Remedy
from scenebook.settings import Settings, get_settings
from scenebook.spaces import Operator
from scenebook.storage import Storage
from scenebook.uploads import create, write_at
from scenebook.videos import add_video, delete_video, get_video, scenes_of
from tests.clips import still, tone, write
from tests.conftest import ALICE, BOB
from tests.pipelines import Pipeline
from tests.stack import environment

REGISTERED = (reconciling, todo)
DAY = timedelta(days=1)
NOW = timedelta(0)


@pytest.fixture
def operator(settings: Settings) -> Iterator[Operator]:
    assert settings.database_url is not None
    with (
        closing(Database(settings.database_url, role=Role.WORKER, pool_size=1)) as db,
        closing(Database(settings.database_url, role=Role.RELAY, pool_size=1)) as relay,
    ):
        yield Operator(db, relay)


def found(run: Reconciling) -> list[Finding]:
    return [one for owner_id in run.owner_ids() for one in run.owner(owner_id)]


def kinds(findings: list[Finding]) -> set[tuple[Difference, Remedy]]:
    return {(one.difference, one.remedy) for one in findings}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.mkv", still(3, 30), sound=tone(1.0))


def indexed(pipeline: Pipeline, clip: Path, *owners: UUID) -> list[Video]:
    return [pipeline.index(clip, owner_id=owner) for owner in owners]


def test_what_fits_together_is_left_alone(
    pipeline: Pipeline, operator: Operator, clip: Path
) -> None:
    indexed(pipeline, clip, ALICE, BOB)
    before = pipeline.tools.storage.list_prefix("")
    assert found(Reconciling(operator, pipeline.tools.storage, NOW, apply=True)) == []
    assert pipeline.tools.storage.list_prefix("") == before


def test_objects_that_no_row_names_are_said_and_then_removed(
    pipeline: Pipeline, operator: Operator, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (video, _) = indexed(pipeline, clip, ALICE, BOB)
    storage = pipeline.tools.storage
    before = storage.list_prefix("")
    strays = [
        f"{ALICE}/{video.id}/g7/0.jpg",
        f"{ALICE}/{uuid4()}/source",
        f"{uuid4()}/{video.id}/source",  # of an owner without a row
        f"{BOB}/{video.id}/source",  # another owner's video does not make it known
        f"{ALICE}/uploads/{uuid4()}/000000000000000.0000000001",
    ]
    for key in (*strays, "doctor/left-over", f"{ALICE}/not-ours/x"):
        storage.put(key, b"stray")
    monkeypatch.setattr("scenebook.storage.LISTED_AT_ONCE", 2)

    assert {one.key for one in found(Reconciling(operator, storage, NOW))} == set(strays)
    assert set(storage.list_prefix("")) > set(strays)
    assert found(Reconciling(operator, storage, DAY, apply=True)) == []
    removed = found(Reconciling(operator, storage, NOW, apply=True))
    assert {one.key for one in removed} == set(strays)
    assert kinds(removed) == {
        (Difference.NO_ROW, Remedy.REMOVE),
        (Difference.UPLOAD_PART, Remedy.REMOVE),
    }
    assert storage.list_prefix("").keys() - before == {
        "doctor/left-over",
        f"{ALICE}/not-ours/x",
    }


def test_what_is_on_its_way_stays(
    pipeline: Pipeline, operator: Operator, clip: Path, tmp_path: Path
) -> None:
    db, storage = pipeline.tools.db, pipeline.tools.storage
    waiting = add_video(db, storage, owner_id=ALICE, path=clip).video
    storage.put(f"{ALICE}/{waiting.id}/g1/being-written.jpg", b"picture")
    other = write(tmp_path / "other.mkv", still(4, 10))
    hidden = add_video(db, storage, owner_id=ALICE, path=other).video
    delete_video(db, owner_id=ALICE, video_id=hidden.id)
    assert pipeline.tools.settings.database_url is not None
    with closing(Database(pipeline.tools.settings.database_url, role=Role.API)) as api:
        upload = create(api, owner_id=BOB, size=10, about=About("a film"), max_bytes=10, ttl_s=60)
        write_at(api, storage, owner_id=BOB, upload_id=upload.id, offset=0, ttl_s=60).add(b"12345")
    storage.put(f"{BOB}/{upload.id}/source", b"being joined")
    assert found(Reconciling(operator, storage, NOW, apply=True)) == []


def test_an_object_that_is_written_anew_meanwhile_is_not_removed(tmp_path: Path) -> None:
    storage = Storage(f"file://{tmp_path / 'objects'}")
    storage.put("a/b", b"old")
    os.utime(tmp_path / "objects" / "a" / "b", (0, 0))
    ((listed,),) = storage.objects("a")
    storage.put("a/b", b"new")
    assert not storage.remove_unchanged(listed)
    assert storage.get("a/b") == b"new"


def test_missing_pictures_are_made_again_from_the_source(
    pipeline: Pipeline, operator: Operator, clip: Path
) -> None:
    video, other = indexed(pipeline, clip, ALICE, BOB)
    storage = pipeline.tools.storage
    storage.delete_prefix(f"{ALICE}/{video.id}/g1")
    said = found(Reconciling(operator, storage, NOW))
    assert kinds(said) == {(Difference.PICTURES_MISSING, Remedy.INDEX_AGAIN)}
    assert [(one.owner_id, one.video_id) for one in said] == [(ALICE, video.id)]

    assert kinds(found(Reconciling(operator, storage, NOW, apply=True))) == kinds(said)
    pipeline.work()
    again = get_video(pipeline.tools.db, owner_id=ALICE, video_id=video.id)
    assert (again.generation, again.status) == (2, video.status)
    for scene in scenes_of(pipeline.tools.db, owner_id=ALICE, video_id=video.id):
        assert storage.get(scene.keyframes[0].image_key)
    assert found(Reconciling(operator, storage, NOW, apply=True)) == []
    assert get_video(pipeline.tools.db, owner_id=BOB, video_id=other.id).generation == 1


def test_a_missing_source_is_said_once_and_what_is_there_stays_searchable(
    pipeline: Pipeline, operator: Operator, clip: Path
) -> None:
    (video,) = indexed(pipeline, clip, ALICE)
    storage, db = pipeline.tools.storage, pipeline.tools.db
    storage.delete(video.source_key)
    storage.delete_prefix(f"{ALICE}/{video.id}/g1")
    first = found(Reconciling(operator, storage, NOW, apply=True))
    assert kinds(first) == {
        (Difference.SOURCE_MISSING, Remedy.MARK),
        (Difference.PICTURES_MISSING, Remedy.NONE),
    }
    marked = get_video(db, owner_id=ALICE, video_id=video.id)
    assert (marked.status, marked.reason) == (VideoStatus.PARTIAL, domain.LOST)
    assert scenes_of(db, owner_id=ALICE, video_id=video.id)
    again = found(Reconciling(operator, storage, NOW, apply=True))
    assert {one.remedy for one in again} == {Remedy.NONE}


def test_an_owner_with_many_videos_is_read_page_by_page(
    pipeline: Pipeline, operator: Operator, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [
        pipeline.index(write(clip.parent / f"{seed}.mkv", still(seed, 5)), owner_id=ALICE)
        for seed in range(3)
    ]
    for video in videos:
        pipeline.tools.storage.delete(video.source_key)
    monkeypatch.setattr(domain, "VIDEOS_AT_ONCE", 1)
    said = found(Reconciling(operator, pipeline.tools.storage, NOW))
    assert {one.video_id for one in said} == {video.id for video in videos}


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield CliRunner()
    get_settings.cache_clear()


def test_the_command_says_what_it_would_do_and_does_it(
    pipeline: Pipeline, command: CliRunner, clip: Path
) -> None:
    (video,) = indexed(pipeline, clip, ALICE)
    storage = pipeline.tools.storage
    storage.put(f"{ALICE}/{uuid4()}/source", b"stray")
    storage.delete_prefix(f"{ALICE}/{video.id}/g1")
    time.sleep(0.01)

    said = command.invoke(commands.app, ["reconcile", "--older-than", "0"])
    assert "Nothing was changed" in said.output
    done = command.invoke(commands.app, ["reconcile", "--apply", "--older-than", "0", "--json"])
    shape = json.loads(done.stdout)
    assert {one["difference"] for one in shape["totals"]} == {"no_row", "pictures_missing"}
    assert (shape["applied"], shape["removed_bytes"]) == (True, 5)
    pipeline.work()
    agreed = command.invoke(commands.app, ["reconcile", "--older-than", "0"])
    assert "agree" in agreed.output


def test_an_empty_storage_is_more_likely_a_mistake(
    pipeline: Pipeline, command: CliRunner, clip: Path
) -> None:
    (video,) = indexed(pipeline, clip, ALICE)
    pipeline.tools.storage.delete_prefix(str(ALICE))
    refused = command.invoke(commands.app, ["reconcile", "--apply"])
    assert "Storage is empty" in str(refused.exception)
    untouched = get_video(pipeline.tools.db, owner_id=ALICE, video_id=video.id)
    assert untouched.status is video.status


def test_the_queue_is_shown_with_its_dead_letters(
    pipeline: Pipeline, command: CliRunner, clip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    failed = pipeline.index(broken, owner_id=BOB)
    waiting = add_video(pipeline.tools.db, pipeline.tools.storage, owner_id=ALICE, path=clip).video
    shape = json.loads(command.invoke(commands.app, ["queue", "--json"]).stdout)
    assert [(one["stage"], one["state"], one["jobs"]) for one in shape["depth"]] == [
        ("probe", "queued", 1)
    ]
    (dead,) = shape["dead"]
    assert (dead["video_id"], dead["stage"]) == (str(failed.id), "probe")
    assert dead["code"]
    assert [one["owner_id"] for one in shape["owners"]] == [str(waiting.owner_id)]
    text = command.invoke(commands.app, ["queue"]).output
    assert "Dead letters" in text
    assert "Running: none." in text

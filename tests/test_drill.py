"""A backup is restored into servers of its own, where storage and rows are of different moments."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest

from scenebook.db.engine import Database, Role
from scenebook.embedded.postgres import binary
from scenebook.model import Stage, Video, VideoStatus
from scenebook.settings import Settings
from scenebook.similar import similar_scenes
from scenebook.videos import delete_video, get_video, list_videos, retry_video, scenes_of
from tests.clips import still, write
from tests.conftest import ALICE, BOB
from tests.pipelines import Pipeline, a_pipeline
from tests.postgres import a_server
from tests.stack import environment, short_leases

INFRA = Path(__file__).resolve().parents[1] / "infra"


@pytest.fixture(scope="module")
def drill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drill", INFRA / "drill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def back_up(pipeline: Pipeline, to: Path, part: str) -> None:
    told = environment(pipeline.tools.settings) | {
        "PG_BIN": str(binary("pg_dump").parent),
        "STORAGE_URL": pipeline.tools.settings.storage,
    }
    subprocess.run([INFRA / "backup.sh", to, part], env=told, check=True)


def indexed(pipeline: Pipeline, at: Path, seed: int, owner: UUID) -> Video:
    clip = write(at / f"{seed}.mkv", still(seed, 20))
    return pipeline.index(clip, owner_id=owner)


def found_from(settings: Settings, owner: UUID, video: Video) -> list[tuple[UUID, float]]:
    """What looks like the first scene of a video: no model is needed to ask."""
    assert settings.database_url is not None
    with closing(Database(settings.database_url, role=Role.API, pool_size=1)) as db:
        first = scenes_of(db, owner_id=owner, video_id=video.id)[0]
        answer = similar_scenes(db, owner_id=owner, scene_id=first.id, limit=50, threshold=-1.0)
        return [(hit.scene_id, round(hit.score, 5)) for hit in answer.hits]


def test_a_restored_deployment_comes_to_rest_and_finds_what_it_found(
    settings: Settings,
    redis_url: str,
    drill: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings.model_copy(update=short_leases(redis_url))
    backup = tmp_path / "backup"
    with a_pipeline(settings) as pipeline:
        kept = [indexed(pipeline, tmp_path, seed, ALICE) for seed in (1, 2)]
        bobs = indexed(pipeline, tmp_path, 1, BOB)
        again = indexed(pipeline, tmp_path, 3, BOB)
        gone = indexed(pipeline, tmp_path, 4, BOB)
        before = found_from(settings, ALICE, kept[0])
        assert before
        back_up(pipeline, backup, "database")
        # Between the two halves of the backup.
        late = indexed(pipeline, tmp_path, 5, ALICE)
        delete_video(pipeline.tools.db, owner_id=BOB, video_id=gone.id)
        retry_video(pipeline.tools.db, owner_id=BOB, video_id=again.id, stage=Stage.PROBE)
        pipeline.work()
        back_up(pipeline, backup, "storage")

    with a_server() as server, server.database(template="template0") as url:
        restored = settings.model_copy(
            update={
                "database_url": url,
                "storage_url": (tmp_path / "restored").as_uri(),
                "scenebook_data_dir": tmp_path / "drill",
            }
        )
        for name, value in environment(restored).items():
            monkeypatch.setenv(name, value)
        report = drill.drill(backup, restored, log_dir=tmp_path / "log", patience_s=60)

        assert report["unfinished"] == 0
        named = {(one["difference"], one["remedy"]) for one in report["findings"]}
        assert named == {
            ("no_row", "remove"),
            ("source_missing", "mark"),
            ("pictures_missing", "index_again"),
            ("pictures_missing", "none"),
        }
        removed = [str(one["of"]) for one in report["findings"] if one["remedy"] == "remove"]
        assert f"{ALICE}/{late.id}/source" in removed  # what came too late is reported
        assert all(str(late.id) in key or f"{again.id}/g2/" in key for key in removed)
        assert found_from(restored, ALICE, kept[0]) == before
        with closing(Database(url, role=Role.API, pool_size=1)) as db:
            assert get_video(db, owner_id=BOB, video_id=again.id).generation == 2
            assert get_video(db, owner_id=BOB, video_id=bobs.id).status is bobs.status
            assert get_video(db, owner_id=BOB, video_id=gone.id).status is VideoStatus.PARTIAL
            assert {one.id for one in list_videos(db, owner_id=ALICE)} == {one.id for one in kept}


def test_a_restore_refuses_a_database_and_a_storage_that_are_in_use(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    def restored(url: str) -> str:
        told = os.environ | {
            "DATABASE_URL": url,
            "STORAGE_URL": tmp_path.as_uri(),
            "PG_BIN": str(binary("psql").parent),
        }
        done = subprocess.run(
            [INFRA / "restore.sh", tmp_path], env=told, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert "has videos already" in restored(database_url)
    (tmp_path / "somebody's").touch()
    assert "is not empty" in restored(empty_database_url)


@pytest.mark.long
def test_the_drill_brings_servers_of_its_own(settings: Settings, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with a_pipeline(settings) as pipeline:
        indexed(pipeline, tmp_path, 1, ALICE)
        back_up(pipeline, backup, "all")
    done = subprocess.run(
        [sys.executable, INFRA / "drill.py", backup, "--patience", "60"],
        env=environment(settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []

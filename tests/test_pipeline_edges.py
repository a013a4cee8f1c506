"""Edges of the stages: what a second run keeps, what it forgets, and what errors tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import event

from scenebook.db import queue, videos
from scenebook.errors import JobLost, Unavailable
from scenebook.model import Channel, ChannelStatus, Stage, Video, VideoStatus
from scenebook.search import Query, search
from scenebook.settings import Settings
from scenebook.storage import PART_BYTES, Storage
from scenebook.temporary import TEMPORARY, own_prefix
from scenebook.videos import delete_video, get_video, retry_video, scenes_of
from tests import clips
from tests.openai_server import CHAT, OpenAIServer, failure, no_content
from tests.pipelines import Pipeline, a_pipeline
from tests.searching import SameVector
from tests.snapshots import snapshot
from worker.pipeline.claim import Claim
from worker.pipeline.source import fetched
from worker.pipeline.tools import Tools

BOGUS = Path(__file__).parent / "media" / "edge" / "fragmented_bogus_duration.mp4"
FIRST = "WEBVTT\n\n00:00.100 --> 00:00.900\nGood morning.\n"
SECOND = "WEBVTT\n\n00:01.100 --> 00:01.900\nGood night.\n"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three still scenes of a second each, without sound."""
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    return clips.write(path, [*clips.still(1, 25), *clips.still(2, 25), *clips.still(3, 25)])


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Subtitles with a line in the first scene."""
    path = tmp_path / "words.vtt"
    path.write_text(FIRST)
    return path


@pytest.fixture
def describing(settings: Settings, openai: OpenAIServer) -> Settings:
    """Settings with descriptions on."""
    return settings.model_copy(
        update={"openai_base_url": openai.url, "openai_max_retries": 0, "job_max_attempts": 1}
    )


def again(pipeline: Pipeline, video: Video, stage: Stage) -> Video:
    """The video after one stage, and what follows from it, was done again."""
    db = pipeline.tools.db
    retry_video(db, owner_id=video.owner_id, video_id=video.id, stage=stage)
    pipeline.work()
    return get_video(db, owner_id=video.owner_id, video_id=video.id)


def statuses(pipeline: Pipeline, video: Video, channel: Channel) -> list[ChannelStatus]:
    """One channel's status in each scene, in order."""
    scenes = scenes_of(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)
    return [one.status for scene in scenes for one in scene.channels if one.channel is channel]


def embedded(pipeline: Pipeline, video: Video, channel: Channel) -> list[int]:
    """The indices of the scenes that have a vector in a channel."""
    url = pipeline.tools.settings.database_url
    assert url is not None
    rows = snapshot(url, video.id)["embeddings"]
    return [row["scene_index"] for row in rows if row["channel"] == channel]


def run_sql(pipeline: Pipeline, sql: str) -> None:
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        connection.execute(sql.encode())


class TestWhatASecondRunForgets:
    def test_pictures_that_are_gone_take_their_vectors_along(
        self, settings: Settings, alice: UUID, film: Path
    ) -> None:
        seeing = settings.model_copy(update={"clip_enabled": True, "clip_model_name": "fake"})
        with a_pipeline(seeing) as pipeline:
            video = pipeline.index(film, owner_id=alice)
            assert embedded(pipeline, video, Channel.VISUAL_CLIP) == [0, 1, 2]
            for scene in scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id):
                pipeline.tools.storage.delete(scene.keyframes[0].image_key)
            again(pipeline, video, Stage.VISUAL_CLIP)
            assert statuses(pipeline, video, Channel.VISUAL_CLIP) == [ChannelStatus.NO_FRAME] * 3
            assert embedded(pipeline, video, Channel.VISUAL_CLIP) == []

    def test_words_that_moved_to_another_scene_are_found_there_alone(
        self, pipeline: Pipeline, alice: UUID, film: Path, words: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice, transcript=words)
        assert embedded(pipeline, video, Channel.TRANSCRIPT) == [0]
        assert video.transcript_key is not None
        pipeline.tools.storage.put(video.transcript_key, SECOND.encode())
        again(pipeline, video, Stage.TRANSCRIBE)
        assert embedded(pipeline, video, Channel.TRANSCRIPT) == [1]

    def test_words_that_changed_have_no_vector_of_the_old_ones_before_the_new(
        self, pipeline: Pipeline, alice: UUID, film: Path, words: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice, transcript=words)
        assert video.transcript_key is not None
        pipeline.tools.storage.put(video.transcript_key, FIRST.replace("morning", "day").encode())
        retry_video(pipeline.tools.db, owner_id=alice, video_id=video.id, stage=Stage.TRANSCRIBE)
        pipeline.work(until=Stage.TRANSCRIBE)
        assert embedded(pipeline, video, Channel.TRANSCRIPT) == []

    def test_words_that_stayed_are_found_all_the_time(
        self, pipeline: Pipeline, alice: UUID, film: Path, words: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice, transcript=words)
        retry_video(pipeline.tools.db, owner_id=alice, video_id=video.id, stage=Stage.TRANSCRIBE)
        pipeline.work(until=Stage.TRANSCRIBE)
        assert embedded(pipeline, video, Channel.TRANSCRIPT) == [0]

    def test_a_scene_in_which_nothing_is_seen_any_more_loses_its_description(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        with a_pipeline(describing) as pipeline:
            video = pipeline.index(film, owner_id=alice)
            assert embedded(pipeline, video, Channel.VISUAL) == [0, 1, 2]
            run_sql(pipeline, "delete from public.paid_calls")
            openai.script(CHAT, *[no_content() for _ in range(9)])
            again(pipeline, video, Stage.DESCRIBE)
            assert statuses(pipeline, video, Channel.VISUAL) == [ChannelStatus.EMPTY] * 3
            assert embedded(pipeline, video, Channel.VISUAL) == []

    def test_a_text_model_that_cannot_be_loaded_leaves_no_old_vector(
        self, settings: Settings, alice: UUID, film: Path, words: Path, tmp_path: Path
    ) -> None:
        with a_pipeline(settings) as pipeline:
            video = pipeline.index(film, owner_id=alice, transcript=words)
            # As a space that is older than sources: only the configured model can be tried.
            run_sql(pipeline, "update public.embedding_spaces set source = '{}'")
        without = settings.model_copy(
            update={
                "text_embedding_provider": "local",
                "text_embedding_model": str(tmp_path / "no_model"),
            }
        )
        with a_pipeline(without) as pipeline:
            again(pipeline, video, Stage.EMBED_TEXT)
            assert statuses(pipeline, video, Channel.TRANSCRIPT)[0] is ChannelStatus.LOAD_ERROR
            assert embedded(pipeline, video, Channel.TRANSCRIPT) == []


class TestWhatASecondRunKeeps:
    def test_embedding_anew_keeps_the_reason_why_a_scene_has_no_words(
        self, pipeline: Pipeline, alice: UUID, film: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice)
        again(pipeline, video, Stage.EMBED_TEXT)
        assert statuses(pipeline, video, Channel.TRANSCRIPT) == [ChannelStatus.DISABLED] * 3

    @pytest.mark.parametrize("why", ["refused", "switched off", "no calls left"])
    def test_a_good_description_outlives_a_run_that_gets_none(
        self, why: str, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        with a_pipeline(describing) as pipeline:
            video = pipeline.index(film, owner_id=alice)
            before = scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id)
            run_sql(pipeline, "delete from public.paid_calls")
        openai.script(CHAT, *[failure(400) for _ in range(3)])
        changes: dict[str, dict[str, object]] = {
            "refused": {},
            "switched off": {"openai_base_url": None},
            "no calls left": {"description_max_calls": 0},
        }
        with a_pipeline(describing.model_copy(update=changes[why])) as pipeline:
            video = again(pipeline, video, Stage.DESCRIBE)
            after = scenes_of(pipeline.tools.db, owner_id=alice, video_id=video.id)
            assert embedded(pipeline, video, Channel.VISUAL) == [0, 1, 2]
            assert statuses(pipeline, video, Channel.VISUAL) == [ChannelStatus.OK] * 3
        assert after == before
        assert video.status is VideoStatus.READY, video.reason

    def test_a_text_without_words_is_empty(
        self, pipeline: Pipeline, alice: UUID, film: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice)
        run_sql(pipeline, "update public.scenes set summary = '  '")
        run_sql(
            pipeline,
            "update public.scene_channels set status = 'pending' where channel = 'summary'",
        )
        again(pipeline, video, Stage.EMBED_TEXT)
        assert statuses(pipeline, video, Channel.SUMMARY) == [ChannelStatus.EMPTY] * 3


def test_a_container_that_boasts_is_as_long_as_its_pictures(
    pipeline: Pipeline, alice: UUID
) -> None:
    video = pipeline.index(BOGUS, owner_id=alice)
    assert video.duration_ms is not None
    assert video.decoded_ms is not None
    assert video.duration_ms < 2 * video.decoded_ms


def test_a_video_whose_job_is_lost_is_not_copied_to_the_end(
    pipeline: Pipeline, alice: UUID, film: Path
) -> None:
    video = pipeline.index(film, owner_id=alice)
    tools = pipeline.tools
    job = queue.Job(
        id=1, owner_id=alice, video_id=video.id, generation=1, stage=Stage.PROBE, unit=0, units=1,
        attempt=1, token=1,
    )  # fmt: skip
    claim = Claim(job, db=tools.db, beats=tools.beats, settings=tools.settings)
    claim.ended = "lost"
    with pytest.raises(JobLost), fetched(tools, claim, replace(video, content_hash=None)):
        pass


def test_a_new_worker_process_removes_the_copies_of_one_that_was_killed(
    settings: Settings,
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{gone.pid}-1-"))
    mine = Path(tempfile.mkdtemp(prefix=own_prefix()))
    Tools.make(settings).close()
    assert not left.exists()
    assert mine.exists()
    mine.rmdir()


class TestStorage:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        """An empty local storage."""
        return Storage((tmp_path / "storage").as_uri())

    def test_long_copies_give_a_sign_of_life_for_every_part(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        source, copy = tmp_path / "source", tmp_path / "copy"
        source.write_bytes(os.urandom(2 * PART_BYTES + 1))
        signs: list[str] = []
        storage.put_file("o/v/source", source, on_part=lambda: signs.append("put"))
        storage.fetch("o/v/source", copy, on_part=lambda: signs.append("fetched"))
        storage.delete_prefix("o/v", on_part=lambda: signs.append("deleted"))
        assert signs == ["put"] * 3 + ["fetched"] * 3 + ["deleted"]
        assert copy.read_bytes() == source.read_bytes()

    def test_a_file_that_was_not_stored_to_the_end_is_not_there(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(2 * PART_BYTES))

        def stop() -> None:
            raise JobLost

        with pytest.raises(JobLost):
            storage.put_file("o/v/source", source, on_part=stop)
        with pytest.raises(FileNotFoundError):
            storage.get("o/v/source")

    def test_a_local_directory_that_is_gone_is_no_missing_object(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        storage.put("o/v/source", b"bytes")
        with pytest.raises(Unavailable, match="TMPDIR"):
            storage.fetch("o/v/source", tmp_path / "gone" / "copy")

    def test_a_storage_whose_disk_is_away_is_neither_written_nor_begun_anew(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        storage.put("o/v/source", b"bytes")
        away = (tmp_path / "storage").rename(tmp_path / "away")
        for one in (storage, Storage((tmp_path / "storage").as_uri())):
            for ask in (
                lambda one=one: one.put("o/v/new", b"bytes"),
                lambda one=one: one.get("o/v/source"),
                lambda one=one: one.delete_prefix("o/v"),
            ):
                with pytest.raises(Unavailable, match="mounted"):
                    ask()
        assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []
        shutil.rmtree(tmp_path / "storage")
        away.rename(tmp_path / "storage")
        assert storage.get("o/v/source") == b"bytes"

    def test_a_local_disk_that_is_full_says_what_to_do(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        storage.put("o/v/source", b"bytes")
        full = tmp_path / "copy"
        full.symlink_to("/dev/full")
        with pytest.raises(Unavailable, match="Free some space"):
            storage.fetch("o/v/source", full)

    def test_errors_name_no_path(self, storage: Storage, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "storage")
        with pytest.raises(Unavailable) as gone:
            storage.get("o/v/source")
        (tmp_path / "storage").write_text("a file in the way")
        with pytest.raises(Unavailable) as refused:
            storage.put("o/v/source", b"bytes")
        for error in (gone, refused):
            assert str(tmp_path) not in str(error.value)
            assert "Debug" not in str(error.value)


class TestSearch:
    def test_all_channels_are_asked_in_one_transaction(
        self, describing: Settings, alice: UUID, film: Path, words: Path
    ) -> None:
        with a_pipeline(describing) as pipeline:
            pipeline.index(film, owner_id=alice, transcript=words)
            db = pipeline.tools.db
            begun: list[object] = []
            event.listen(db.engine, "begin", begun.append)
            answer = search(
                db,
                SameVector(),
                owner_id=alice,
                query=Query("good morning"),
                channels=[Channel.TRANSCRIPT, Channel.VISUAL],
                threshold=-1.0,
            )
        assert answer.hits[0].title == "film.mp4"
        assert {reason.channel for reason in answer.hits[0].reasons} == {
            Channel.TRANSCRIPT,
            Channel.VISUAL,
        }
        assert len(begun) == 2  # the other says which spaces to encode the query for

    def test_a_video_that_is_being_deleted_has_no_title_to_show(
        self, pipeline: Pipeline, alice: UUID, film: Path
    ) -> None:
        video = pipeline.index(film, owner_id=alice)
        db = pipeline.tools.db
        with db.transaction(owner_id=alice) as tx:
            ids = [video.id, uuid4()]
            assert videos.titles(tx, owner_id=alice, video_ids=ids) == {video.id: "film.mp4"}
        delete_video(db, owner_id=alice, video_id=video.id)
        with db.transaction(owner_id=alice) as tx:
            assert videos.titles(tx, owner_id=alice, video_ids=[video.id]) == {}

"""The model of a channel changes under load, and no search in any phase loses a scene."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from scenebook import spaces
from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace, active_space, all_spaces, hold, open_space
from scenebook.errors import Conflict, InvalidInput, ModelUnavailable, NotFound
from scenebook.model import Channel, ChannelStatus, EmbeddingSpace, Video, VideoStatus
from scenebook.settings import Settings
from scenebook.spaces import activate, drop, list_spaces, rollback, space_for
from scenebook.videos import get_video
from tests import sized
from tests.pictures import png
from tests.pipelines import Pipeline, a_pipeline
from tests.searching import rows_of
from tests.sized import ask, backfill, index, operator, rows, seeing, states

SMALL, LARGE = 512, 768
PATIENCE_S = 60


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP in as many spaces as a test wants."""
    sized.use(monkeypatch)


@pytest.fixture
def small(settings: Settings, alice: UUID, bob: UUID) -> Iterator[Pipeline]:
    """Two owners whose videos are indexed with the small model."""
    with a_pipeline(seeing(settings, SMALL)) as pipeline:
        index(pipeline, alice, film("red", "lime"))
        index(pipeline, alice, film("blue", "white"))
        index(pipeline, bob, film("red", "lime"))
        yield pipeline


def film(*colours: str) -> list[list[bytes]]:
    """A scene for each colour."""
    return [[png(colour)] for colour in colours]


NEW = film("cyan", "magenta")


def space_of(pipeline: Pipeline, dimensions: int) -> StoredSpace:
    with pipeline.tools.db.across_owners() as tx:
        (found,) = [
            one for one in all_spaces(tx, Channel.VISUAL_CLIP) if one.space.dimensions == dimensions
        ]
    return found


def found(pipeline: Pipeline, owner_id: UUID) -> int:
    """How many scenes a search finds; nothing may be said to be missing."""
    answer = ask(pipeline, owner_id)
    assert not answer.degraded
    return len(answer.hits)


def standing(pipeline: Pipeline, video: Video) -> list[tuple[ChannelStatus, object]]:
    """Status and dimensions of visual_clip in each scene, of which the sidecar says the same."""
    found = states(pipeline, video)
    url = pipeline.tools.settings.database_url
    assert url is not None
    documents = rows(
        url,
        "select sidecar -> 'channels' -> 'visual_clip' ->> 'status' from public.scenes"
        " where video_id = %s order by scene_index",
        video.id,
    )
    assert [status for (status,) in documents] == [state.status.value for state in found]
    return [(state.status, state.metadata.get("embed_dim")) for state in found]


def test_a_model_changes_while_videos_are_indexed_and_searched(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    assert (found(small, alice), found(small, bob)) == (4, 2)
    with a_pipeline(seeing(settings, LARGE)) as large:
        assert (found(large, alice), found(large, bob)) == (4, 2)
        video = index(large, alice, NEW)
        assert video.status is VideoStatus.READY
        assert (found(large, alice), found(small, bob)) == (6, 2)
        building = space_of(large, LARGE)
        assert building.status == "building"
        with pytest.raises(Conflict, match=r"6 scenes .* no vector .*`scenebook backfill"):
            activate(operator(large), space_id=building.id)

        stopped = Stop(after=1)
        with pytest.raises(KeyboardInterrupt):
            backfill(large).run(alice, on_batch=stopped)
        with pytest.raises(Conflict, match="4 scenes"):
            activate(operator(large), space_id=building.id)
        assert (found(large, alice), found(small, bob)) == (6, 2)
        assert sum(backfill(large).run(alice).values()) == 2
        assert sum(backfill(large).run(bob).values()) == 2
        assert sum(backfill(large).run(bob).values()) == 0

        change = activate(operator(large), space_id=building.id)
        assert (change.standing.missing, change.standing.failed) == (0, 0)
        assert (found(large, alice), found(small, bob)) == (6, 2)
        assert standing(large, video) == [(ChannelStatus.OK, 768)] * 2
        # A worker that was not restarted yet still keeps both complete.
        late = index(small, bob, NEW)
        assert standing(small, late) == [(ChannelStatus.OK, 768)] * 2
        assert (found(large, alice), found(small, bob)) == (6, 4)

        back = rollback(operator(large), channel=Channel.VISUAL_CLIP)
        assert back.after.space.dimensions == SMALL
        assert (found(large, alice), found(small, bob)) == (6, 4)
        assert standing(large, video) == [(ChannelStatus.OK, 512)] * 2
        with pytest.raises(Conflict, match="active"):
            drop(operator(large), space_id=back.after.id)
        rollback(operator(large), channel=Channel.VISUAL_CLIP)
        assert drop(operator(large), space_id=back.after.id) == 10
        assert (found(large, alice), found(small, bob)) == (6, 4)
        with pytest.raises(NotFound):
            rollback(operator(large), channel=Channel.VISUAL_CLIP)


class Stop:
    """Ctrl-C after this many batches."""

    def __init__(self, *, after: int) -> None:
        self.left = after

    def __call__(self, _ended: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Searching:
    """An owner who searches without a pause in a thread, and what each answer had."""

    def __init__(self, pipeline: Pipeline, owner_id: UUID) -> None:
        self.answers: list[tuple[int, bool]] = []
        self.stop = threading.Event()
        self._asked = (pipeline, owner_id)

    def run(self) -> None:
        while not self.stop.is_set():
            answer = ask(*self._asked)
            self.answers.append((len(answer.hits), bool(answer.degraded)))

    def go_on(self) -> None:
        """Return after a search that began later."""
        wanted, deadline = len(self.answers) + 2, time.monotonic() + PATIENCE_S
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_every_search_during_a_change_of_the_model_is_answered_in_full(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    searching = [Searching(small, owner_id) for owner_id in (alice, bob)]
    with a_pipeline(seeing(settings, LARGE)) as large, ThreadPoolExecutor() as pool:
        threads = [pool.submit(one.run) for one in searching]
        try:
            for owner_id in (alice, bob):
                backfill(large).run(owner_id)
            building = space_of(large, LARGE)
            activate(operator(large), space_id=building.id)
            for _ in range(3):
                for one in searching:
                    one.go_on()
                rollback(operator(large), channel=Channel.VISUAL_CLIP)
            for one in searching:
                one.go_on()
            assert drop(operator(large), space_id=building.id) == 6
            for one in searching:
                one.go_on()
        finally:
            for one in searching:
                one.stop.set()
        for thread in threads:
            thread.result()
    assert [set(one.answers) for one in searching] == [{(4, False)}, {(2, False)}]


def test_scenes_that_are_lost_by_force_say_so_and_come_back(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    with a_pipeline(seeing(settings, LARGE)) as large:
        new = index(large, bob, NEW)
        building = space_of(large, LARGE)
        change = activate(operator(large), space_id=building.id, force=True)
        assert change.standing.missing == 6
        assert len(ask(large, alice).hits) == 0
        assert [hit.video_id for hit in ask(large, bob).hits] == [new.id] * 2
        assert "backfill" in ask(large, alice).degraded[Channel.VISUAL_CLIP]
        for video in videos_of(large, alice):
            assert video.status is VideoStatus.PARTIAL
            assert "Not embedded with" in (video.reason or "")
            assert [status for status, _ in standing(large, video)] == [ChannelStatus.ERROR] * 2
        backfill(large).run(alice)
        assert found(large, alice) == 4
        for video in videos_of(large, alice):
            assert (video.status, video.reason) == (VideoStatus.READY, None)
            assert standing(large, video) == [(ChannelStatus.OK, 768)] * 2
        assert len(ask(large, bob).hits) == 2


def videos_of(pipeline: Pipeline, owner_id: UUID) -> list[Video]:
    with pipeline.tools.db.transaction(owner_id=owner_id) as tx:
        ids = spaces.videos.on_channels(tx, owner_id=owner_id)
    return [get_video(pipeline.tools.db, owner_id=owner_id, video_id=one) for one in ids]


def test_scenes_that_failed_in_the_other_space_are_named_and_need_force(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    with a_pipeline(seeing(settings, LARGE)) as large:
        for owner_id in (alice, bob):
            backfill(large).run(owner_id)
        building = space_of(large, LARGE)
        url = settings.database_url
        assert url is not None
        with psycopg.connect(url) as connection:
            (scene,) = connection.execute(
                "select scene_id from public.space_scenes where owner_id = %s limit 1", (bob,)
            ).fetchone() or (None,)
            connection.execute(
                "update public.space_scenes set status = 'timeout', error = 'Timeout after 2.0s'"
                " where scene_id = %s",
                (scene,),
            )
            connection.execute(
                "delete from public.scene_embeddings where scene_id = %s and space_id = %s",
                (scene, building.id),
            )
        with pytest.raises(Conflict, match=r"1 scenes .* has its reason.*--retry-failed"):
            activate(operator(large), space_id=building.id)
        assert sum(backfill(large, building.id).lacking(bob, building).values()) == 1
        activate(operator(large), space_id=building.id, force=True)
        (video,) = videos_of(large, bob)
        assert sorted(status for status, _ in standing(large, video)) == ["ok", "timeout"]
        assert "Timeout after 2.0s" in (video.reason or "")


def test_a_scene_that_is_found_while_its_channel_waits_is_not_lost(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    (video,) = videos_of(small, bob)
    url = settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:  # as a retry that was cancelled leaves it
        connection.execute(
            "update public.scene_channels set status = 'pending' where channel = 'visual_clip'"
            " and owner_id = %s",
            (bob,),
        )
    with a_pipeline(seeing(settings, LARGE)) as large:
        backfill(large).run(alice)
        building = space_of(large, LARGE)
        with pytest.raises(Conflict, match="2 scenes that are found"):
            activate(operator(large), space_id=building.id)
        backfill(large).run(bob)
        activate(operator(large), space_id=building.id)
        assert [hit.video_id for hit in ask(large, bob).hits] == [video.id] * 2


def test_an_active_model_that_cannot_be_loaded_is_said_and_the_other_vectors_are_kept(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    url = settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:  # other weights lie where the small model was
        connection.execute(
            'update public.embedding_spaces set source = \'{"clip_pretrained": "1024"}\''
        )
    with a_pipeline(seeing(settings, LARGE)) as large:
        video = index(large, bob, NEW)
        assert [status for status, _ in standing(large, video)] == [ChannelStatus.LOAD_ERROR] * 2
        assert "is not where it was" in (video.reason or "")
        assert list_spaces(operator(large))[-1].standing.embedded == 2
        assert len(ask(small, alice).hits) == 4


def test_a_model_that_is_not_configured_is_loaded_by_the_source_of_its_space(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    broken = seeing(settings, LARGE, clip_model_name="no-such-model")
    with a_pipeline(broken) as pipeline:
        pipeline.tools.encoders.image_space = unavailable  # type: ignore[method-assign]
        video = index(pipeline, alice, NEW)
        assert standing(pipeline, video) == [(ChannelStatus.OK, 512)] * 2
    assert (found(small, alice), found(small, bob)) == (6, 2)


def unavailable() -> EmbeddingSpace:
    raise ModelUnavailable("No such model.")


@pytest.mark.parametrize("dimensions", [512, 768, 1024])
def test_vectors_of_every_usual_length_are_stored_and_searched(
    settings: Settings, alice: UUID, bob: UUID, dimensions: int
) -> None:
    with a_pipeline(seeing(settings, dimensions)) as pipeline:
        index(pipeline, alice, NEW)
        assert (found(pipeline, alice), found(pipeline, bob)) == (2, 0)
        url = settings.database_url
        assert url is not None
        assert rows(url, "select distinct dimensions from public.scene_embeddings") == [
            (dimensions,)
        ]


def test_a_query_of_another_space_is_an_error_and_not_rows(
    small: Pipeline, settings: Settings, alice: UUID
) -> None:
    url = settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        with pytest.raises(psycopg.Error, match="768 dimensions"), connection.transaction():
            rows_of(connection, [1.0] + [0.0] * (LARGE - 1), owner=alice)
        with pytest.raises(psycopg.Error, match="does not belong"), connection.transaction():
            rows_of(
                connection,
                [1.0] + [0.0] * (SMALL - 1),
                owner=alice,
                channel="transcript",
                filter_space_id=space_of(small, SMALL).id,
            )


def test_an_activation_waits_for_writers_and_writers_wait_for_it(
    small: Pipeline, settings: Settings, alice: UUID
) -> None:
    db = small.tools.db
    with a_pipeline(seeing(settings, LARGE)) as large, ThreadPoolExecutor() as pool:
        for owner_id in operator(large).owner_ids():
            backfill(large).run(owner_id)
        building = space_of(large, LARGE)
        with db.transaction(owner_id=alice) as tx:
            hold(tx, Channel.VISUAL_CLIP)
            done = pool.submit(activate, operator(large), space_id=building.id)
            with pytest.raises(TimeoutError):
                done.result(timeout=0.5)
            assert active_space(tx, Channel.VISUAL_CLIP) == space_of(small, SMALL)
        assert done.result().after.id == building.id
        assert activate(operator(large), space_id=building.id).after.id == building.id


def test_two_first_spaces_at_once_leave_one_active(
    database_url: str, settings: Settings, alice: UUID
) -> None:
    one = sized.SizedFake(seeing(settings, SMALL))
    space = one.image_space()
    one.close()
    db = Database(database_url, role=Role.WORKER)
    others = [replace(space, weights=f"of {number}") for number in range(4)]

    def opened(other: object) -> int:
        with db.transaction(owner_id=alice) as tx:
            return open_space(tx, other, {"clip_pretrained": "1"})  # type: ignore[arg-type]

    with ThreadPoolExecutor() as pool:
        ids = list(pool.map(opened, others))
    with db.across_owners() as tx:
        stored = all_spaces(tx, Channel.VISUAL_CLIP)
    assert sorted(ids) == [one.id for one in stored]
    assert [one.status for one in stored].count("active") == 1
    with db.transaction(owner_id=alice) as tx:
        open_space(tx, others[0], {"clip_pretrained": "elsewhere"})
        open_space(tx, others[1])
        sources = [one.source["clip_pretrained"] for one in all_spaces(tx)]
    db.close()
    assert sorted(sources) == ["1", "1", "1", "elsewhere"]


def test_a_space_is_named_by_its_id_or_by_its_channel_if_that_is_clear(
    small: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    work = operator(small)
    active = space_of(small, SMALL)
    assert space_for(work, space_id=active.id, channel=None, among=["building"]) == active
    assert space_for(work, space_id=None, channel=Channel.VISUAL_CLIP, among=["active"]) == active
    for channel, among in ((None, "active"), (Channel.VISUAL_CLIP, "building")):
        with pytest.raises(InvalidInput, match="by its id"):
            space_for(work, space_id=None, channel=channel, among=[among])
    with pytest.raises(InvalidInput, match="belongs to visual_clip"):
        space_for(work, space_id=active.id, channel=Channel.SUMMARY, among=[])
    with pytest.raises(NotFound):
        activate(work, space_id=4711)
    assert work.db.role is Role.WORKER
    (report,) = list_spaces(work)
    assert report.standing.embedded == 6

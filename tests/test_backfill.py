"""Backfill makes exactly the vectors that are missing, beside whatever else happens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from scenebook.backfill import Backfill, Throttle
from scenebook.cli.commands import app
from scenebook.db.spaces import StoredSpace
from scenebook.errors import ModelUnavailable, NotFound, ScenebookError
from scenebook.model import Channel, ChannelStatus, Video, VideoStatus
from scenebook.settings import Settings
from scenebook.videos import get_video
from tests import sized
from tests.commands import documented
from tests.pictures import png
from tests.pipelines import Pipeline, a_pipeline
from tests.sized import SizedFake, ask, backfill, index, rows, seeing, states

FILM = [[png("red")], [png("blue")]]
BROKEN = b"not a picture"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP in as many spaces as a test wants."""
    sized.use(monkeypatch)


@pytest.fixture
def large(settings: Settings, alice: UUID, bob: UUID) -> Iterator[Pipeline]:
    """Two owners, whose videos were indexed with another model than the one configured."""
    with a_pipeline(seeing(settings, 512)) as small:
        for owner_id, films in ((alice, 2), (bob, 1)):
            for _ in range(films):
                index(small, owner_id, FILM)
    with a_pipeline(seeing(settings, 768)) as pipeline:
        yield pipeline


def run_sql(pipeline: Pipeline, sql: str, *values: object) -> None:
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        connection.execute(sql.encode(), values)


def vectors(pipeline: Pipeline, owner_id: UUID, channel: str = "visual_clip") -> list[int]:
    """How many vectors the owner has in each space of a channel."""
    url = pipeline.tools.settings.database_url
    assert url is not None
    found = rows(
        url,
        "select count(e.*) from public.embedding_spaces as p left join public.scene_embeddings as e"
        " on e.space_id = p.id and e.owner_id = %s where p.channel = %s"
        " group by p.id order by p.id",
        owner_id,
        channel,
    )
    return [int(str(count)) for (count,) in found]


def left(work: Backfill, owner_id: UUID) -> int:
    return sum(work.lacking(owner_id, work.space(owner_id)).values())


def a_video(pipeline: Pipeline, owner_id: UUID) -> Video:
    url = pipeline.tools.settings.database_url
    assert url is not None
    ((video_id,),) = rows(
        url, "select id from public.videos where owner_id = %s order by id limit 1", owner_id
    )
    return get_video(pipeline.tools.db, owner_id=owner_id, video_id=UUID(str(video_id)))


def test_a_run_does_what_is_missing_for_the_owner_the_video_and_the_number_that_are_named(
    large: Pipeline, alice: UUID, bob: UUID
) -> None:
    assert (left(backfill(large), alice), left(backfill(large), bob)) == (4, 2)
    assert vectors(large, alice) == [4]  # counting opens no space
    one = backfill(large, video_id=a_video(large, alice).id)
    assert left(one, alice) == 2
    assert one.run(alice, limit=1) == Counter({ChannelStatus.OK: 1})
    assert one.run(alice) == Counter({ChannelStatus.OK: 1})
    assert (vectors(large, alice), vectors(large, bob)) == ([4, 2], [2, 0])
    batches: list[int] = []
    backfill(large).run(alice, on_batch=lambda ended: batches.append(sum(ended.values())))
    assert batches == [2]
    assert (left(backfill(large), alice), left(backfill(large), bob)) == (0, 2)
    assert backfill(large).run(alice) == Counter()


def test_two_runs_at_once_and_indexing_beside_them_lose_nothing(
    large: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    with (
        a_pipeline(seeing(settings, 768)) as beside,
        a_pipeline(seeing(settings, 768)) as indexing,
        ThreadPoolExecutor() as pool,
    ):
        runs = [pool.submit(backfill(one).run, alice) for one in (large, beside)]
        new = pool.submit(index, indexing, alice, [[png("lime")]])
        assert sum(sum(run.result().values()) for run in runs) >= 4
        assert new.result().status is VideoStatus.READY
    assert (vectors(large, alice), vectors(large, bob)) == ([5, 5], [2, 0])


def test_a_picture_that_is_broken_has_its_reason_and_is_tried_again_if_that_is_asked_for(
    large: Pipeline, alice: UUID, bob: UUID
) -> None:
    keys = rows(
        str(large.tools.settings.database_url),
        "select image_key from public.keyframes where owner_id = %s",
        bob,
    )
    large.tools.storage.put(str(keys[0][0]), BROKEN)
    ended = backfill(large).run(bob)
    assert ended == Counter({ChannelStatus.OK: 1, ChannelStatus.DECODE_ERROR: 1})
    assert backfill(large).run(bob) == Counter()
    assert [one.status for one in states(large, a_video(large, bob))] == [ChannelStatus.OK] * 2
    large.tools.storage.put(str(keys[0][0]), png("white"))
    assert backfill(large, retry_failed=True).run(bob) == Counter({ChannelStatus.OK: 1})
    assert left(backfill(large), alice) == 4


def test_in_the_active_space_the_video_and_its_sidecars_are_mended(
    large: Pipeline, settings: Settings, alice: UUID, bob: UUID
) -> None:
    run_sql(
        large,
        "with gone as (delete from public.scene_embeddings where owner_id = %s returning scene_id)"
        " update public.scene_channels set status = 'timeout', error = 'Timeout after 2.0s'"
        " from gone where gone.scene_id = scene_channels.scene_id and channel = 'visual_clip'",
        bob,
    )
    run_sql(large, "update public.videos set status = 'partial', reason = 'timeouts'")
    active = backfill(large, 1)
    assert (left(active, alice), left(active, bob)) == (0, 2)
    assert active.run(bob) == Counter({ChannelStatus.OK: 2})
    video = a_video(large, bob)
    assert (video.status, video.reason) == (VideoStatus.READY, None)
    documents = rows(
        str(settings.database_url),
        "select distinct sidecar -> 'channels' -> 'visual_clip' ->> 'status' from public.scenes"
        " where owner_id = %s",
        bob,
    )
    assert documents == [("ok",)]
    assert len(ask(large, bob).hits) == 2


def test_clip_that_was_off_is_filled_for_owners_who_have_it_on(
    settings: Settings, alice: UUID, bob: UUID
) -> None:
    with a_pipeline(seeing(settings, 512)) as pipeline:
        run_sql(pipeline, "update public.owners set clip_enabled = false")
        for owner_id in (alice, bob):
            video = index(pipeline, owner_id, FILM)
            assert {one.status for one in states(pipeline, video)} == {ChannelStatus.DISABLED}
        run_sql(pipeline, "update public.owners set clip_enabled = null where id = %s", alice)
        assert left(backfill(pipeline), alice) == 2  # though the channel has no space so far
        assert left(backfill(pipeline), bob) == 0
        for owner_id, enabled in ((alice, True), (bob, True), (alice, False)):
            backfill(pipeline, clip_enabled=enabled).run(owner_id)
        assert (vectors(pipeline, alice), vectors(pipeline, bob)) == ([2], [0])


def said(pipeline: Pipeline, owner_id: UUID) -> Video:
    """A video with words that could not be embedded."""
    video = index(pipeline, owner_id, [[png("red")], [png("blue")]])
    run_sql(
        pipeline,
        "update public.scenes set transcript = 'good morning' where video_id = %s",
        video.id,
    )
    run_sql(
        pipeline,
        "update public.scene_channels set status = 'load_error' where channel = 'transcript'"
        " and scene_id in (select id from public.scenes where video_id = %s)",
        video.id,
    )
    return video


def test_a_channel_of_texts_is_filled_too(settings: Settings, alice: UUID, bob: UUID) -> None:
    with a_pipeline(seeing(settings, 512)) as pipeline:
        said(pipeline, alice)
        said(pipeline, bob)
        work = backfill(pipeline, channel=Channel.TRANSCRIPT)
        assert work.run(alice) == Counter({ChannelStatus.OK: 2})
        assert vectors(pipeline, alice, "transcript") == [2]
        assert left(work, bob) == 2


def test_a_text_that_a_model_cannot_embed_holds_up_no_other(
    settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_pipeline(seeing(settings, 512)) as pipeline:
        said(pipeline, alice)
        run_sql(pipeline, "update public.scenes set transcript = 'NaN' where scene_index = 0")
        encode = pipeline.tools.encoders.encode_texts

        def broken(texts: list[str]) -> object:
            if "NaN" in texts:
                raise ScenebookError("The model gave a vector of norm nan instead of 1.")
            return encode(texts)

        monkeypatch.setattr(pipeline.tools.encoders, "encode_texts", broken)
        ended = backfill(pipeline, channel=Channel.TRANSCRIPT).run(alice)
        assert ended == Counter({ChannelStatus.OK: 1, ChannelStatus.ERROR: 1})
        assert vectors(pipeline, alice, "transcript") == [1]


def test_a_text_that_changed_or_a_scene_that_went_meanwhile_gets_no_vector(
    settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_pipeline(seeing(settings, 512)) as pipeline:
        video = said(pipeline, alice)
        encode = pipeline.tools.encoders.encode_texts

        def slowly(texts: list[str]) -> object:
            run_sql(
                pipeline,
                "update public.scenes set transcript = 'good night' where scene_index = 0",
            )
            run_sql(pipeline, "delete from public.scenes where scene_index = 1")
            return encode(texts)

        monkeypatch.setattr(pipeline.tools.encoders, "encode_texts", slowly)
        work = backfill(pipeline, channel=Channel.TRANSCRIPT)
        assert work.run(alice) == Counter()
        assert vectors(pipeline, alice, "transcript") == [0]
        monkeypatch.undo()
        assert work.run(alice) == Counter({ChannelStatus.OK: 1})
        assert get_video(pipeline.tools.db, owner_id=alice, video_id=video.id) is not None


def test_a_model_that_is_gone_and_a_space_that_is_not_there_stop_the_run(
    large: Pipeline, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="no space 4711"):
        backfill(large, 4711).run(alice)

    def missing(_: SizedFake) -> StoredSpace:
        raise ModelUnavailable("No such model.")

    monkeypatch.setattr(SizedFake, "image_space", missing)
    for space_id in (None, 1):
        with pytest.raises(ModelUnavailable, match="No such model"):
            backfill(large, space_id).run(alice)
    assert vectors(large, alice) == [4]


def test_a_throttle_waits_as_long_as_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("scenebook.backfill.time.sleep", slept.append)
    Throttle(pause_s=3).wait(16, took_s=100)
    Throttle(per_minute=60).wait(16, took_s=6)
    Throttle(per_minute=60).wait(16, took_s=60)
    Throttle().wait(16, took_s=0)
    assert slept == [3, 10, 0, 0]


def test_ctrl_c_says_how_far_it_came_and_the_next_run_goes_on(
    large: Pipeline, settings: Settings, alice: UUID, bob: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = ("backfill", "--channel", "visual_clip", "--all-owners")
    with monkeypatch.context() as patch:
        patch.setattr(Throttle, "wait", interrupted)
        code, told = command(patch, seeing(settings, 768), *words)
    assert isinstance(told, dict)
    assert (code, told["stopped"], told["scenes"]) == (130, True, 6)
    assert told["statuses"] == {"ok": 2}
    _, told = command(monkeypatch, seeing(settings, 768), *words)
    assert isinstance(told, dict)
    assert (told["stopped"], told["scenes"], told["statuses"]) == (False, 4, {"ok": 4})
    assert (vectors(large, alice), vectors(large, bob)) == ([4, 4], [2, 2])


def command(
    patch: pytest.MonkeyPatch, settings: Settings, *words: str
) -> tuple[int, dict[str, object] | list[dict[str, object]]]:
    """The exit code and the answer of a command."""
    patch.setattr("scenebook.cli.commands.get_settings", lambda: settings)
    done = CliRunner().invoke(app, [*words, "--json"], standalone_mode=False)
    # Without standalone mode a command that exits returns its code.
    code = done.exit_code or done.return_value or 0
    return code, json.loads(done.stdout) if done.stdout else {}


def test_the_commands_change_the_model_of_all_owners(
    large: Pipeline,
    settings: Settings,
    alice: UUID,
    bob: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_large = seeing(settings, 768)

    def run(*words: str) -> tuple[int, dict[str, object] | list[dict[str, object]]]:
        return command(monkeypatch, with_large, *words)

    fill = ("backfill", "--channel", "visual_clip", "--all-owners")
    _, plan = run(*fill, "--dry-run")
    assert isinstance(plan, dict)
    assert plan["scenes"] == 6
    assert [one["owner_id"] for one in plan["owners"]] == sorted([str(alice), str(bob)])  # type: ignore[attr-defined]
    _, ended = run(*fill, "--limit", "5")
    assert isinstance(ended, dict)
    assert ended["statuses"] == {"ok": 5}
    assert run("spaces", "activate", "--channel", "visual_clip")[0] == 1
    run(*fill)
    assert run("spaces", "activate", "--channel", "visual_clip")[0] == 0
    _, listed = run("spaces", "list")
    assert list(listed[0]) == list(documented("`spaces list --json`")[0])  # type: ignore[index]
    assert [(one["status"], one["scenes"], one["missing"]) for one in listed] == [  # type: ignore[index]
        ("retired", 6, 0),
        ("active", 6, 0),
    ]
    assert run("spaces", "rollback", "--channel", "visual_clip")[0] == 0
    assert run("spaces", "drop", "2")[1]["vectors"] == 6  # type: ignore[call-overload]
    assert run("backfill", "--channel", "visual_clip", "--all-owners", "--owner", "x")[0] == 1

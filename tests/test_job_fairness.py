"""One owner's long list, or poison, costs the others nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from scenebook.db import queue
from scenebook.db.engine import Database
from scenebook.model import Stage, VideoStatus
from scenebook.videos import (
    get_video,
)
from tests.job_rows import a_video, claimed, ids_of, look
from tests.pipelines import Pipeline
from worker import door
from worker.door import run_job
from worker.pipeline.claim import Claim
from worker.relay import BATCH, Relay


def finish(claim: Claim) -> None:
    with claim.commit():
        pass


def fill(url: str, *, owners: list[UUID], videos_each: int, jobs_each: int) -> None:
    """Waiting videos with due jobs, as rows only."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.videos (owner_id, title, source_key, content_hash, bytes, status)"
            " select o, 'A video', 'key', gen_random_uuid()::text, 1, 'waiting'"
            " from unnest(%s::uuid[]) as o, generate_series(1, %s)",
            (owners, videos_each),
        )
        connection.execute(
            "insert into public.jobs (owner_id, video_id, generation, stage, unit, units)"
            " select v.owner_id, v.id, 1, 'visual_clip', u, %s"
            " from public.videos as v, generate_series(0, %s - 1) as u"
            " where v.owner_id = any(%s)",
            (jobs_each, jobs_each, owners),
        )
        connection.execute("analyze public.jobs")


def a_round(relay: Database) -> list[int]:
    with relay.across_owners() as tx:
        ids = [job.id for job in queue.due(tx, limit=BATCH, republish_s=30)]
        queue.mark_published(tx, ids)
    return ids


def test_beside_five_thousand_videos_of_one_owner_anothers_one_is_rung_for_at_once(
    pipeline: Pipeline, alice: UUID, bob: UUID, database_url: str
) -> None:
    fill(database_url, owners=[alice], videos_each=5000, jobs_each=1)
    assert len(a_round(pipeline.relay)) == 4  # alice's max_running
    a_video(pipeline.tools.db, owner_id=bob)
    [bobs] = ids_of(database_url, Stage.PROBE)
    assert a_round(pipeline.relay) == [bobs]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_of_a_long_list_the_relay_takes_fifty_at_a_time(
    count: int,
    pipeline: Pipeline,
    database_url: str,
    record_property: Callable[[str, object], None],
) -> None:
    owners = [uuid4() for _ in range(1000)]
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into public.owners (id) select unnest(%s::uuid[])", (owners,))
    fill(database_url, owners=owners, videos_each=1, jobs_each=count // len(owners))
    took_ms, rung = [], Counter[int]()
    for _ in range(5):
        began = time.perf_counter()
        ids = a_round(pipeline.relay)
        took_ms.append((time.perf_counter() - began) * 1000)
        assert len(ids) == BATCH
        rung.update(ids)
    assert set(rung.values()) == {1}
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select count(distinct owner_id) from public.jobs where published_at is not null"
        ).fetchone()
    assert row == (5 * BATCH,)  # nobody has a second turn before everybody had the first
    record_property("table", [f"relay round, {count} due jobs: {min(took_ms):.0f} ms"])


def test_a_job_that_kills_its_worker_each_time_costs_the_others_nothing(
    pipeline: Pipeline, alice: UUID, bob: UUID, database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every worker that takes the poison dies: its lease is all that is left of it."""
    tools = pipeline.tools
    poison = a_video(tools.db, owner_id=alice)
    for _ in range(20):
        a_video(tools.db, owner_id=bob, stage=Stage.FINALIZE)
    deaths = 0
    monkeypatch.setitem(door.STAGES, Stage.FINALIZE, lambda _, claim: finish(claim))  # type: ignore[arg-type]
    with psycopg.connect(database_url, autocommit=True) as eye:
        for _ in range(40):
            eye.execute("update public.jobs set run_at = now() where state = 'retryable'")
            Relay(tools.settings, pipeline.relay).sweep()
            for job_id in a_round(pipeline.relay):
                if look(eye).jobs[job_id].video_id != poison:
                    run_job(tools, job_id, worker="w1")
                    continue
                deaths += 1
                claimed(tools, job_id)
                eye.execute(
                    "update public.jobs set lease_until = now() - interval '1 s' where id = %s",
                    (job_id,),
                )
        states = Counter((job.owner_id, job.state) for job in look(eye).jobs.values())
    assert states == {(alice, "failed"): 1, (bob, "succeeded"): 20}
    assert deaths == tools.settings.job_max_crashes
    video = get_video(tools.db, owner_id=alice, video_id=poison)
    assert video.status is VideoStatus.FAILED
    assert "died 3 times" in (video.reason or "")

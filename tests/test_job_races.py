"""Races of jobs with each other, with their owner and with readers, on a real Postgres."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from scenebook import jobs, settling
from scenebook.browsing import page_of_scenes
from scenebook.db import queue, scenes
from scenebook.db.engine import Database, Role
from scenebook.db.scenes import NewScene
from scenebook.errors import Conflict
from scenebook.model import Channel, Stage
from scenebook.search import Query, search
from scenebook.settings import Settings
from scenebook.videos import (
    cancel_video,
    retry_video,
    scenes_of,
)
from tests.dropping_proxy import When, dropping
from tests.job_rows import a_video, check_standing, claimed, ids_of, look
from tests.pipelines import Pipeline, a_pipeline
from tests.rows import NORTH, a_scene, a_space, an_embedding
from tests.rows import a_video as a_row
from tests.searching import SameVector
from worker import door
from worker.door import run_job
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools
from worker.relay import Relay


@pytest.fixture
def tools(pipeline: Pipeline) -> Tools:
    return pipeline.tools


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run all of them at the same instant; what each returned."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def commit(claim: Claim) -> None:
    with claim.commit():
        pass


# Twenty messages of one job


def test_of_twenty_deliveries_of_one_message_one_does_the_job(
    tools: Tools, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tools.settings.database_url
    assert url is not None
    a_video(tools.db, owner_id=alice)
    [job_id] = ids_of(url, Stage.PROBE)
    done: list[int] = []

    def probe(_: Tools, claim: Claim) -> None:
        time.sleep(0.3)  # the others come while it is at work, and the last when it is done
        done.append(claim.job.token)
        commit(claim)

    monkeypatch.setitem(door.STAGES, Stage.PROBE, probe)  # type: ignore[arg-type]
    deliver = lambda: run_job(tools, job_id, worker="w1")  # noqa: E731
    at_once(*[deliver] * 20)
    deliver()
    assert len(done) == 1
    assert len(ids_of(url, Stage.SEGMENT)) == 1
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select attempt, state, errors from public.jobs where id = %s", (job_id,)
        ).fetchone()
    assert row == (1, "succeeded", [])


# The last jobs of a stage end at the same instant


def race_to_the_end(tools: Tools, owner_id: UUID, *, rounds: int) -> None:
    """The last two jobs before finalize commit together; there is one finalize, and always one."""
    url = tools.settings.database_url
    assert url is not None
    for _ in range(rounds):
        video_id = a_video(tools.db, owner_id=owner_id, stage=Stage.VISUAL_CLIP)
        with tools.db.transaction(owner_id=owner_id) as tx:
            jobs.enqueue(
                tx, owner_id=owner_id, video_id=video_id, generation=1, stage=Stage.EMBED_TEXT,
                units=2,
            )  # fmt: skip
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "select id from public.jobs where video_id = %s", (video_id,)
            ).fetchall()
            claims = [claimed(tools, row[0]) for row in found]
            assert len(claims) == 3
            at_once(*[lambda one=one: commit(one) for one in claims])
            stages = connection.execute(
                "select stage, state from public.jobs where video_id = %s", (video_id,)
            ).fetchall()
        assert Counter(stages) == {
            ("visual_clip", "succeeded"): 1,
            ("embed_text", "succeeded"): 2,
            ("finalize", "queued"): 1,
        }


def test_jobs_that_end_at_the_same_instant_start_one_finalize(tools: Tools, alice: UUID) -> None:
    race_to_the_end(tools, alice, rounds=40)


@pytest.mark.long
def test_jobs_that_end_at_the_same_instant_always_start_one_finalize(
    tools: Tools, alice: UUID
) -> None:
    race_to_the_end(tools, alice, rounds=500)


# Readers beside a switch of generations


def test_readers_see_one_generation_at_a_time_and_never_none(
    tools: Tools, alice: UUID, database_url: str
) -> None:
    """Forty switches; whoever reads meanwhile sees three scenes of one generation."""
    with psycopg.connect(database_url) as connection:
        space = a_space(connection)
        video = a_row(connection, owner=alice, generation=1)
        _a_generation(connection, alice, video, space, 1)
    over = threading.Event()
    api = Database(database_url, role=Role.API, pool_size=4)

    def browse() -> list[set[int]]:
        seen = []
        while not over.is_set():
            page = page_of_scenes(api, owner_id=alice, video_id=video, limit=9)
            whole = scenes_of(api, owner_id=alice, video_id=video)
            seen += [
                {len(page.scenes)} | {scene.generation - page.generation for scene in page.scenes},
                {len(whole)} | {scene.generation - whole[0].generation for scene in whole},
            ]
        return seen

    def look() -> list[set[int]]:
        seen = []
        while not over.is_set():
            answer = search(
                api, SameVector(), owner_id=alice, query=Query("x"), channels=[Channel.VISUAL_CLIP]
            )
            seen.append({len(answer.hits), len({hit.scene_id for hit in answer.hits}) - 3})
        return seen

    def switch() -> list[set[int]]:
        try:
            for generation in range(2, 42):
                with psycopg.connect(database_url) as connection:
                    _a_generation(connection, alice, video, space, generation)
                with tools.db.transaction(owner_id=alice) as tx:
                    whose = {"owner_id": alice, "video_id": video, "generation": generation}
                    queue.lock_video(tx, owner_id=alice, video_id=video)
                    settling.finish(tx, **whose)
                    scenes.remove_older(tx, **whose)
        finally:
            over.set()
        return []

    _, *seen = at_once(switch, browse, look)
    api.close()
    for one in seen:
        assert len(one) > 10
        assert Counter(map(frozenset, one)) == {frozenset({3, 0}): len(one)}


def _a_generation(
    connection: psycopg.Connection, owner: UUID, video: UUID, space: int, generation: int
) -> None:
    for index in range(3):
        scene = a_scene(connection, owner=owner, video=video, index=index, generation=generation)
        an_embedding(connection, NORTH, scene=scene, space=space)


def test_a_retry_beside_a_sweep_leaves_one_way_on(
    tools: Tools, alice: UUID, database_url: str
) -> None:
    relay = Database(database_url, role=Role.RELAY, pool_size=2)
    with psycopg.connect(database_url, autocommit=True) as eye:
        for _ in range(20):
            video_id = a_video(tools.db, owner_id=alice)
            [newest] = ids_of(database_url, Stage.PROBE)[-1:]
            claimed(tools, newest)
            cancel_video(tools.db, owner_id=alice, video_id=video_id)
            eye.execute(
                "update public.jobs set lease_until = now() - interval '1 s' where id = %s",
                (newest,),
            )

            def retry(video_id: UUID = video_id) -> str:
                try:
                    retry_video(tools.db, owner_id=alice, video_id=video_id)
                except Conflict:
                    return "still stopping"
                return "retried"

            outcome, _ = at_once(retry, Relay(tools.settings, relay).sweep)
            check_standing(look(eye), policy=door.policy(tools.settings))
            ways = look(eye).open_of(video_id)
            assert [job.generation for job in ways] == ([2] if outcome == "retried" else [])
    relay.close()


# A commit of which nobody hears


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_outcome_is_unknown_has_its_effects_once(
    when: When, settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = settings.database_url
    assert url is not None
    with dropping(url) as proxy, a_pipeline(_at(settings, proxy.url)) as behind:
        video_id = a_video(behind.tools.db, owner_id=alice, stage=Stage.SEGMENT)
        drops: list[When] = [when]

        def segment(tools: Tools, claim: Claim) -> None:
            with claim.commit() as tx:
                whose = {"owner_id": alice, "video_id": video_id, "generation": 1}
                found = [NewScene(0, 1000, [])]
                scenes.replace_all(tx, **whose, token=claim.job.token, found=found)
                if drops:
                    proxy.drop(drops.pop())

        monkeypatch.setitem(door.STAGES, Stage.SEGMENT, segment)  # type: ignore[arg-type]
        [job_id] = ids_of(url, Stage.SEGMENT)
        run_job(behind.tools, job_id, worker="w1")
        assert proxy.dropped == 1
        with psycopg.connect(url, autocommit=True) as eye:
            after_one = look(eye).jobs[job_id]
            assert after_one.state == ("succeeded" if when == "after" else "retryable")
            assert len(look(eye).scenes) == (when == "after")
            eye.execute("update public.jobs set run_at = now()")
            run_job(behind.tools, job_id, worker="w1")
            assert look(eye).jobs[job_id].state == "succeeded"
            assert look(eye).jobs[job_id].attempt == 1  # the network's fault, not the job's
            assert len(look(eye).scenes) == 1
        for stage in (Stage.TRANSCRIBE, Stage.VISUAL_CLIP):
            assert len(ids_of(url, stage)) == 1


def _at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": url})

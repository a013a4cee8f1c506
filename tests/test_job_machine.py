"""The state machine of jobs under every order of events that Hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import psycopg
import pytest
from hypothesis import HealthCheck, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scenebook import jobs, settling
from scenebook.db import queue, scenes, videos, workers
from scenebook.db.engine import Database, Role
from scenebook.db.queue import Asked
from scenebook.db.scenes import NewScene
from scenebook.errors import Conflict, JobLost, NotFound, ScenebookError
from scenebook.model import SETTLED, Channel, Stage, VideoStatus
from scenebook.videos import cancel_video, delete_video, retry_video
from tests.job_rows import ERRORS, Rows, check_moves, check_standing, look
from tests.pipelines import settings_for
from worker import door
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools
from worker.relay import Relay

MAX_RUNNING = 3
MAX_VIDEOS = 3
WORKERS = strategies.sampled_from(["w1", "w2"])
PLACES = strategies.integers(0, 31)
COUNTS = strategies.sampled_from([0, 1, 20, 40])
STAGES = strategies.sampled_from([None, *jobs.FOLLOWS]) | strategies.sampled_from(list(Channel))
TOUCHES = ["commit"] * 4 + ["checkpoint"] * 2 + ["beat"] * 2
WISHES = ["retry"] * 4 + ["cancel"] * 2 + ["meddle", "delete"]
EVENTS = (
    ["add"] * 2 + ["silence"] * 3 + ["sweep"] * 3 + ["time"] * 4 + ["deadline", "drain", "start"]
)
EVENTS += ["replace"] * 4
BOUNDED = hypothesis.settings(
    max_examples=30,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MANY = hypothesis.settings(BOUNDED, max_examples=1500, derandomize=False, stateful_step_count=80)


@dataclass(frozen=True, slots=True)
class World:
    """The database of one test as its processes reach it: API, worker, relay, and the checker."""

    tools: Tools
    api: Database
    relay: Database
    eye: psycopg.Connection
    owners: tuple[UUID, UUID]


@pytest.fixture
def world(database_url: str, tmp_path: Path, alice: UUID, bob: UUID) -> Iterator[World]:
    settings = settings_for(
        database_url, tmp_path, job_backoff_s=200, job_max_attempts=3, job_max_crashes=2
    )
    tools = Tools.make(settings)
    api, relay = (Database(database_url, role=role) for role in (Role.API, Role.RELAY))
    with psycopg.connect(database_url, autocommit=True) as eye:
        eye.execute("update public.owners set max_running = %s", (MAX_RUNNING,))
        eye.execute("create schema seen")
        eye.execute("create table seen.effects (job_id bigint, token bigint, owner_id uuid)")
        eye.execute("grant usage on schema seen to scenebook_worker")
        eye.execute("grant insert on seen.effects to scenebook_worker")
        yield World(tools, api, relay, eye, (alice, bob))
    for database in (api, relay):
        database.close()
    tools.close()


class JobMachine(RuleBasedStateMachine):
    """Two owners, two workers, a relay; `live` is who holds what, by our own account.

    Few rules with many kinds each: of many rules, Hypothesis leaves out some in every run.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.tools = world, world.tools
        self.live: dict[int, int] = {}
        self.effects: list[tuple[int, int, UUID]] = []
        self.draining: set[str] = set()
        self.newest = 0
        self.holder: dict[int, str] = {}
        self.claims: list[Claim] = []
        self.messages: list[int] = []
        self.videos: list[tuple[UUID, UUID]] = []
        for table in ("public.videos", "public.workers", "seen.effects"):
            world.eye.execute(f"delete from {table}")  # type: ignore[call-overload]
        self.now = look(world.eye)

    @initialize(imported=strategies.booleans())
    def begin(self, imported: bool) -> None:
        self.add(0, imported)

    @rule(limit=strategies.integers(1, 6), worker=WORKERS, commits=strategies.booleans())
    def work(self, limit: int, worker: str, commits: bool) -> None:
        """The relay rings and a worker comes; it finishes what it takes, or is left at it."""
        for job_id in self.publish(limit):
            claim = self.deliver(job_id, worker)
            if commits and claim is not None:
                self.commit(claim, 20)

    @precondition(lambda self: self.messages)
    @rule(place=PLACES, worker=WORKERS)
    def ring_again(self, place: int, worker: str) -> None:
        """A message comes a second time, or very late."""
        self.deliver(self.messages[-1 - place % len(self.messages)], worker)

    @precondition(lambda self: self.claims)
    @rule(place=PLACES, what=strategies.sampled_from([*TOUCHES, *ERRORS]), count=COUNTS)
    def touch(self, place: int, what: str | ScenebookError, count: int) -> None:
        """Whoever holds a job, or held it once, goes on."""
        held = [claim for claim in self.claims if self.holds(claim)]
        stale = [one for one in self.claims if one.job.id in self.live and not self.holds(one)]
        some = (stale if place % 2 else held) or self.claims
        claim = some[-1 - place % len(some)]
        if isinstance(what, ScenebookError):
            self.stop(claim, what)
        elif what == "commit":
            self.commit(claim, count)
        else:
            {"beat": self.beat, "checkpoint": self.checkpoint}[what](claim)

    @rule(place=PLACES, what=strategies.sampled_from(WISHES), stage=STAGES)
    def wish(self, place: int, what: str, stage: Stage | Channel | None) -> None:
        """What owners want, at any moment."""
        owner, video_id = self.videos[place % len(self.videos)]
        if what == "retry":
            self.retry(owner, video_id, stage)
        else:
            {"cancel": self.cancel, "delete": self.delete, "meddle": self.meddle}[what](
                owner, video_id
            )

    @rule(what=strategies.sampled_from(EVENTS), place=PLACES, worker=WORKERS)
    def happen(self, what: str, place: int, worker: str) -> None:
        """What happens to processes, and what time does."""
        if what == "add":
            self.add(place % 2, imported=place % 4 > 1)
        elif what == "replace":
            self.replace(worker)
        elif what in ("silence", "deadline"):
            running = [job.id for job in self.now.jobs.values() if job.state == "running"]
            if running:
                self.silence(running[place % len(running)], deadline=what == "deadline")
        elif what in ("drain", "start"):
            self.drain(worker, draining=what == "drain")
        else:
            {"sweep": self.sweep, "time": self.let_time_pass}[what]()

    def add(self, second: int, imported: bool) -> None:
        if len(self.videos) >= MAX_VIDEOS:
            return
        owner, video_id = self.world.owners[second], uuid4()
        with self.world.api.transaction(owner_id=owner) as tx:
            videos.add(
                tx, owner_id=owner, video_id=video_id, title="A video", source_key="key",
                content_hash=video_id.hex, size=1,
            )  # fmt: skip
            videos.uploaded(tx, owner_id=owner, video_id=video_id, transcript_key=None)
            stage = Stage.FETCH if imported else Stage.PROBE
            jobs.enqueue(tx, owner_id=owner, video_id=video_id, generation=1, stage=stage)
        self.videos.append((owner, video_id))

    def publish(self, limit: int) -> list[int]:
        with self.world.relay.across_owners() as tx:
            ids = [job.id for job in queue.due(tx, limit=limit, republish_s=30)]
            queue.mark_published(tx, ids)
        assert len(ids) <= limit
        assert all(self.now.jobs[one].state in ("queued", "retryable") for one in ids)
        for owner in self.world.owners:
            of = [job for job in self.now.jobs.values() if job.owner_id == owner and job.is_open]
            busy = sum(job.state == "running" or job.rung for job in of)
            assert sum(job.id in ids for job in of) <= max(0, MAX_RUNNING - busy)
        self.messages += ids
        return ids

    def deliver(self, job_id: int, worker: str) -> Claim | None:
        self.now = self.checked(look(self.world.eye))
        row = self.now.jobs.get(job_id)
        free = row is not None and row.state in ("queued", "retryable")
        with self.tools.db.across_owners() as tx:
            job = queue.claim(tx, job_id, worker=worker, lease_s=600, deadline_s=3600)
        if job is None:
            assert not free or worker in self.draining or row is None or row.due is not True
            return None
        assert free
        assert worker not in self.draining
        assert row is not None
        assert row.due is not False
        assert job.token > self.newest, "a token was used again"
        self.newest = self.live[job.id] = job.token
        self.holder[job.id] = worker
        with self.tools.db.transaction(owner_id=job.owner_id) as tx:
            videos.started(tx, owner_id=job.owner_id, video_id=job.video_id)
        claim = Claim(job, db=self.tools.db, beats=self.tools.beats, settings=self.tools.settings)
        self.claims.append(claim)
        self.now = self.checked(look(self.world.eye))
        return claim

    def holds(self, claim: Claim) -> bool:
        return self.live.get(claim.job.id) == claim.job.token

    def may_write(self, claim: Claim) -> bool:
        return self.holds(claim) and not self.now.jobs[claim.job.id].cancel_requested

    def beat(self, claim: Claim) -> None:
        with self.tools.beats.across_owners() as tx:
            asked = queue.beat(tx, claim.job, lease_s=600, progress=1, total=None)
        if not self.holds(claim):
            assert asked is Asked.LOST
        elif self.now.jobs[claim.job.id].cancel_requested:
            assert asked is Asked.CANCEL
        elif self.now.jobs[claim.job.id].overdue:
            assert asked is Asked.OVERDUE
        else:
            drains = self.holder[claim.job.id] in self.draining
            assert asked is (Asked.DRAIN if drains else Asked.GO_ON)

    def has_effect(self, tx: Any, claim: Claim) -> None:
        job = claim.job
        tx.exec_driver_sql(
            "insert into seen.effects values (%s, %s, %s)", (job.id, job.token, job.owner_id)
        )
        self.effects.append((job.id, job.token, job.owner_id))

    def checkpoint(self, claim: Claim) -> None:
        allowed = self.may_write(claim)
        try:
            with claim.checkpoint() as tx:
                self.has_effect(tx, claim)
        except JobLost:
            assert not allowed
        else:
            assert allowed, "a stale token wrote"

    def commit(self, claim: Claim, count: int) -> None:
        job, allowed = claim.job, self.may_write(claim)
        others = [one for one in self.now.open_of(job.video_id) if one.id != job.id]
        if job.stage is Stage.DELETE and any(one.state == "running" for one in others):
            return  # postponed, as the stage does
        try:
            with claim.commit() as tx:
                self.has_effect(tx, claim)
                self.write(tx, claim, count)
        except JobLost:
            assert not allowed
            return
        assert allowed, "a stale token wrote"
        del self.live[job.id]

    def write(self, tx: Any, claim: Claim, count: int) -> None:
        """What the stages write that decides on others."""
        job = claim.job
        whose = {"owner_id": job.owner_id, "video_id": job.video_id}
        if job.stage is Stage.SEGMENT:
            found = [NewScene(place * 1000, place * 1000 + 1000, []) for place in range(count)]
            scenes.replace_all(tx, **whose, generation=job.generation, token=job.token, found=found)
        elif job.stage is Stage.FINALIZE:
            settling.finish(tx, **whose, generation=job.generation)
            scenes.remove_older(tx, **whose, generation=job.generation)
        elif job.stage is Stage.DELETE:
            videos.remove(tx, **whose)

    def stop(self, claim: Claim, error: ScenebookError) -> None:
        held = self.holds(claim)
        try:
            outcome = door._recorded(self.tools, claim, error)
        except JobLost:
            assert not held
            return
        assert held
        del self.live[claim.job.id]
        if self.now.jobs[claim.job.id].cancel_requested:
            assert outcome == "cancelled"

    def silence(self, job_id: int, *, deadline: bool) -> None:
        self.world.eye.execute(
            "update public.jobs set lease_until = now() - interval '1 s',"
            " deadline_at = case when %s then now() else deadline_at end where id = %s",
            (deadline, job_id),
        )

    def replace(self, worker: str) -> None:
        """Every worker falls silent, and another takes its job."""
        for job_id in list(self.live):
            self.silence(job_id, deadline=False)
        for step in (self.everything_holds, self.sweep, self.everything_holds, self.let_time_pass):
            step()
        self.everything_holds()
        for job_id in self.publish(6):
            self.deliver(job_id, worker)

    def sweep(self) -> None:
        expired = [job.id for job in self.now.jobs.values() if job.expired]
        assert Relay(self.tools.settings, self.world.relay).sweep() == len(expired)
        for one in expired:
            del self.live[one]

    def let_time_pass(self) -> None:
        self.world.eye.execute(
            "update public.jobs set run_at = now(), published_at = null"
            " where state in ('queued', 'retryable')"
        )

    def drain(self, worker: str, *, draining: bool) -> None:
        with self.tools.db.across_owners() as tx:
            workers.beat(tx, worker, kind="worker", draining=draining)
        (self.draining.add if draining else self.draining.discard)(worker)

    def cancel(self, owner: UUID, video_id: UUID) -> None:
        row = self.now.videos.get(video_id)
        allowed = row is not None and row.status in (VideoStatus.WAITING, VideoStatus.PROCESSING)
        try:
            cancel_video(self.world.api, owner_id=owner, video_id=video_id)
        except (Conflict, NotFound):
            assert not allowed
        else:
            assert allowed

    def delete(self, owner: UUID, video_id: UUID) -> None:
        try:
            delete_video(self.world.api, owner_id=owner, video_id=video_id)
        except NotFound:
            assert video_id not in self.now.videos

    def retry(self, owner: UUID, video_id: UUID, stage: Stage | Channel | None) -> None:
        row = self.now.videos.get(video_id)
        idle = row is not None and row.status in SETTLED and not self.now.open_of(video_id)
        what: dict[str, Any] = {"channel" if isinstance(stage, Channel) else "stage": stage}
        try:
            reset = retry_video(self.world.api, owner_id=owner, video_id=video_id, **what)
        except (Conflict, NotFound):
            assert not idle or stage is Stage.FETCH
        else:
            assert idle
            assert reset > 0 or stage is None

    def meddle(self, owner: UUID, video_id: UUID) -> None:
        """Another owner's hand on this video."""
        stranger = next(one for one in self.world.owners if one != owner)
        for act in (cancel_video, delete_video, retry_video):
            with pytest.raises(NotFound):
                act(self.world.api, owner_id=stranger, video_id=video_id)
        assert look(self.world.eye).jobs == self.now.jobs

    @invariant()
    def everything_holds(self) -> None:
        self.now = self.checked(look(self.world.eye))

    def checked(self, rows: Rows) -> Rows:
        """These rows, if all that was promised holds of them."""
        check_moves(self.now, rows)
        check_standing(rows, policy=door.policy(self.tools.settings))
        running = {job.id: job.lease_token for job in rows.jobs.values() if job.state == "running"}
        assert running == self.live, "somebody else holds a job"
        stored = self.world.eye.execute("select * from seen.effects").fetchall()
        assert sorted(stored) == sorted(self.effects)
        tokens = {token for _, token, _ in self.effects}
        assert {scene.lease_token for scene in rows.scenes} <= tokens
        return rows

    def teardown(self) -> None:
        """Whatever happened, every video reaches its end once the workers are left in peace."""
        for worker in list(self.draining):
            self.drain(worker, draining=False)
        for job_id in list(self.live):
            self.silence(job_id, deadline=False)
        self.everything_holds()
        self.sweep()
        for _ in range(60):
            self.let_time_pass()
            self.everything_holds()
            if not any(job.is_open for job in self.now.jobs.values()):
                break
            for job_id in self.publish(50):
                claim = self.deliver(job_id, "w1")
                if claim is not None:
                    self.commit(claim, 1)
        assert not any(job.is_open for job in self.now.jobs.values())
        for video in self.now.videos.values():
            assert video.status in (*SETTLED, VideoStatus.DELETING), video


def test_jobs_keep_their_promises_whatever_happens_in_whatever_order(world: World) -> None:
    fuzzed = hypothesis.settings.get_current_profile_name() == "fuzz"
    run_state_machine_as_test(lambda: JobMachine(world), settings=MANY if fuzzed else BOUNDED)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_jobs_keep_their_promises_in_many_more_orders(world: World) -> None:
    run_state_machine_as_test(lambda: JobMachine(world), settings=MANY)

"""The job state machine: claim, fence, heartbeat, commit, sweep, retry, cancel, fairness."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from scenebook import jobs, outcomes
from scenebook.db import queue, videos, workers
from scenebook.db.engine import Database, Role
from scenebook.db.queue import Asked, Job
from scenebook.errors import JobLost
from scenebook.model import JobState, Stage, VideoStatus
from scenebook.outcomes import Failure, RetryPolicy

POLICY = RetryPolicy(max_attempts=3, max_crashes=3, backoff_s=0.001)
BROKEN = Failure("broken", "It broke.", retryable=True)
HOPELESS = Failure("hopeless", "It will never work.", retryable=False)


@pytest.fixture
def worker(database_url: str) -> Iterator[Database]:
    db = Database(database_url, role=Role.WORKER)
    yield db
    db.close()


@pytest.fixture
def relay(database_url: str) -> Iterator[Database]:
    db = Database(database_url, role=Role.RELAY)
    yield db
    db.close()


def a_video(db: Database, *, owner_id: UUID, stage: Stage = Stage.PROBE) -> UUID:
    """A stored video with one job to do."""
    video_id = uuid4()
    with db.transaction(owner_id=owner_id) as tx:
        videos.add(
            tx,
            owner_id=owner_id,
            video_id=video_id,
            title="A video",
            source_key="key",
            content_hash=video_id.hex,
            size=1,
        )
        videos.uploaded(tx, owner_id=owner_id, video_id=video_id, transcript_key=None)
        jobs.enqueue(tx, owner_id=owner_id, video_id=video_id, generation=1, stage=stage)
    return video_id


def due_ids(relay: Database, *, limit: int = 50) -> list[int]:
    """Publish what is due, as the relay does."""
    with relay.across_owners() as tx:
        found = [job.id for job in queue.due(tx, limit=limit, republish_s=30)]
        queue.mark_published(tx, found)
    return found


def claimed(db: Database, job_id: int, *, lease_s: float = 60, deadline_s: float = 600) -> Job:
    with db.across_owners() as tx:
        job = queue.claim(tx, job_id, worker="w1", lease_s=lease_s, deadline_s=deadline_s)
    assert job is not None
    return job


def only_job(url: str, column: str = "state") -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"select {column} from public.jobs order by id limit 1").fetchone()
    assert row is not None
    return row[0]


def expire(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("update public.jobs set lease_until = now() - interval '1 s'")


def now_due(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("update public.jobs set run_at = now()")


def sweep(relay: Database) -> list[JobState | None]:
    with relay.across_owners() as tx:
        lost = queue.expired(tx)
    states = []
    for one in lost:
        with relay.transaction(owner_id=one.owner_id) as tx:
            states.append(outcomes.sweep(tx, one, policy=POLICY))
    return states


def fail(db: Database, job: Job, failure: Failure) -> JobState:
    with db.transaction(owner_id=job.owner_id) as tx:
        queue.lock_video(tx, owner_id=job.owner_id, video_id=job.video_id)
        held = queue.fence(tx, job)
        return outcomes.fail(tx, job, failure, policy=POLICY, crash_count=held.crashes)


def test_of_two_workers_racing_for_one_job_one_gets_it(
    worker: Database, relay: Database, alice: UUID
) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    got: list[Job | None] = []
    start = threading.Barrier(4)

    def race() -> None:
        start.wait()
        with worker.across_owners() as tx:
            got.append(queue.claim(tx, job_id, worker="w", lease_s=60, deadline_s=600))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([job for job in got if job is not None]) == 1


def test_a_paused_workers_commit_is_refused_after_another_took_the_job(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    paused = claimed(worker, job_id)
    expire(database_url)
    assert sweep(relay) == [JobState.RETRYABLE]
    now_due(database_url)
    newer = claimed(worker, job_id)
    assert newer.token > paused.token
    with pytest.raises(JobLost), worker.transaction(owner_id=alice) as tx:
        queue.fence(tx, paused)
    with worker.across_owners() as tx:
        assert queue.beat(tx, paused, lease_s=60, progress=0, total=None) is Asked.LOST
        assert queue.beat(tx, newer, lease_s=60, progress=1, total=2) is Asked.GO_ON


def test_success_starts_the_stages_that_follow_once(
    worker: Database, relay: Database, alice: UUID
) -> None:
    video_id = a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    job = claimed(worker, job_id)
    for _ in range(2):
        with worker.transaction(owner_id=alice) as tx:
            queue.lock_video(tx, owner_id=alice, video_id=video_id)
            if queue.open_jobs(tx, owner_id=alice, video_id=video_id)[1]:
                queue.fence(tx, job)
                outcomes.succeed(tx, job)
            else:
                jobs.advance(tx, owner_id=alice, video_id=video_id, generation=1)
    with relay.across_owners() as tx:
        assert [one.stage for one in queue.due(tx, limit=9, republish_s=30)] == [Stage.SEGMENT]


def test_a_clean_error_is_tried_again_until_the_attempts_are_used_up(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    video_id = a_video(worker, owner_id=alice)
    states = []
    for _ in range(POLICY.max_attempts):
        now_due(database_url)
        [job_id] = due_ids(relay)
        states.append(fail(worker, claimed(worker, job_id), BROKEN))
    assert states == [JobState.RETRYABLE, JobState.RETRYABLE, JobState.FAILED]
    with worker.transaction(owner_id=alice) as tx:
        video = videos.get(tx, owner_id=alice, video_id=video_id)
    assert (video.status, video.failed_stage, video.reason) == (
        VideoStatus.FAILED,
        "probe",
        "It broke.",
    )


def test_an_error_that_will_not_pass_is_never_tried_again(
    worker: Database, relay: Database, alice: UUID
) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    assert fail(worker, claimed(worker, job_id), HOPELESS) is JobState.FAILED


def test_a_job_whose_worker_dies_each_time_stops_as_a_crash_loop(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    video_id = a_video(worker, owner_id=alice)
    states = []
    for _ in range(POLICY.max_crashes):
        now_due(database_url)
        [job_id] = due_ids(relay)
        claimed(worker, job_id)
        expire(database_url)
        states += sweep(relay)
    assert states == [JobState.RETRYABLE, JobState.RETRYABLE, JobState.FAILED]
    assert only_job(database_url, "errors -> -1 ->> 'code'") == "crash_loop"
    assert only_job(database_url, "attempt") == 0
    with worker.transaction(owner_id=alice) as tx:
        assert videos.get(tx, owner_id=alice, video_id=video_id).status is VideoStatus.FAILED


def test_a_job_handed_back_can_be_claimed_again_and_has_lost_no_attempt(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    job = claimed(worker, job_id)
    with worker.transaction(owner_id=alice) as tx:
        queue.fence(tx, job)
        outcomes.hand_back(tx, job)
    assert due_ids(relay) == [job_id]
    assert claimed(worker, job_id).attempt == 1


def test_a_cancelled_video_tells_its_running_job_at_the_next_heartbeat(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    video_id = a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    job = claimed(worker, job_id)
    with worker.transaction(owner_id=alice) as tx:
        jobs.cancel_video(tx, owner_id=alice, video_id=video_id)
    with worker.across_owners() as tx:
        assert queue.beat(tx, job, lease_s=60, progress=0, total=None) is Asked.CANCEL
    expire(database_url)
    assert sweep(relay) == [JobState.CANCELLED]


def test_a_heartbeat_does_not_outlive_the_deadline(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    job = claimed(worker, job_id, deadline_s=0)
    with worker.across_owners() as tx:
        assert queue.beat(tx, job, lease_s=60, progress=1, total=None) is Asked.OVERDUE
    expire(database_url)
    assert sweep(relay) == [JobState.RETRYABLE]
    assert only_job(database_url, "errors -> -1 ->> 'code'") == "deadline"
    assert only_job(database_url, "crash_count") == 0


def test_a_draining_worker_claims_nothing(worker: Database, relay: Database, alice: UUID) -> None:
    a_video(worker, owner_id=alice)
    [job_id] = due_ids(relay)
    with worker.across_owners() as tx:
        workers.beat(tx, "w1", kind="worker", draining=True)
        assert queue.claim(tx, job_id, worker="w1", lease_s=60, deadline_s=60) is None
        assert queue.claim(tx, job_id, worker="w2", lease_s=60, deadline_s=60) is not None


def test_one_owners_many_uploads_do_not_starve_anothers_single_one(
    worker: Database, relay: Database, alice: UUID, bob: UUID
) -> None:
    for _ in range(60):
        a_video(worker, owner_id=alice)
    bobs = a_video(worker, owner_id=bob)
    first = due_ids(relay)
    assert len(first) == 5  # alice's max_running of 4, and bob's one
    assert due_ids(relay) == []
    found = [claimed(worker, job_id) for job_id in first]
    assert bobs in {job.video_id for job in found}
    done = next(job for job in found if job.owner_id == alice)
    fail(worker, done, HOPELESS)
    assert len(due_ids(relay)) == 1  # one left, one came


def test_a_job_nobody_claims_is_published_again(
    worker: Database, relay: Database, alice: UUID, database_url: str
) -> None:
    a_video(worker, owner_id=alice)
    first = due_ids(relay)
    assert due_ids(relay) == []
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.jobs set published_at = now() - interval '31 s'")
    assert due_ids(relay) == first


def test_another_owner_can_neither_see_nor_end_a_job(
    worker: Database, relay: Database, alice: UUID, bob: UUID
) -> None:
    video_id = a_video(worker, owner_id=alice)
    with worker.transaction(owner_id=bob) as tx:
        jobs.cancel(tx, owner_id=bob, video_id=video_id)
        assert queue.open_jobs(tx, owner_id=bob, video_id=video_id) == (0, 0)
        assert not queue.lock_video(tx, owner_id=bob, video_id=video_id)
    assert len(due_ids(relay)) == 1


def test_words_that_are_too_much_for_postgres_are_no_outage(worker: Database, alice: UUID) -> None:
    """An outage is waited for without end; this would be too much for ever."""
    with (
        pytest.raises(DBAPIError, match="too long for tsvector"),
        worker.transaction(owner_id=alice) as tx,
    ):
        tx.exec_driver_sql(
            "select to_tsvector('simple', string_agg(md5(i::text), ' '))"
            " from generate_series(1, 60000) as i"
        )

"""The checker: after quiescence, holds the system to what it promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from scenebook.storage import MARKER
from scenebook.temporary import TEMPORARY
from tests.chaos.history import History, Promised
from tests.chaos.world import World
from tests.snapshots import snapshot

Rows = dict[str, list[dict[str, Any]]]

# Each must give no row; the first column says what is wrong.
VIOLATIONS = {
    "a job that is still open": "select id, stage, state from public.jobs"
    " where state in ('queued', 'retryable', 'running')",
    "a lease that nobody ended": "select id from public.jobs where lease_until is not null",
    "a token that was not newer than the one before": "select job_id, token, before from ("
    " select job_id, state, token, max(token) filter (where state = 'running')"
    " over (partition by job_id order by place rows between unbounded preceding and 1 preceding)"
    " as before from chaos.job_states where old_state is distinct from state) as s"
    " where state = 'running' and token <= before",
    "a token that was given twice": "select token from chaos.job_states"
    " where state = 'running' and old_state <> 'running' group by token having count(*) > 1",
    "a job that succeeded twice": "select job_id from chaos.job_states"
    " where state = 'succeeded' group by job_id having count(*) > 1",
    "a job that left a final state": "select job_id, old_state, state from chaos.job_states"
    " where old_state in ('succeeded', 'failed', 'cancelled') and state <> old_state",
    "a row that was written for another owner": "select * from chaos.strangers",
    "a video that became ready and was not announced": "select v.id from public.videos as v"
    " where v.status = 'ready' and exists (select from public.webhook_endpoints as e"
    " where e.owner_id = v.owner_id) and not exists (select from public.webhook_deliveries as d"
    " where d.owner_id = v.owner_id and d.event = 'video.ready'"
    " and d.payload -> 'data' ->> 'video_id' = v.id::text)",
    "a scene that no job of its video wrote": "select w.video_id, w.token"
    " from chaos.scene_writes as w where not exists (select from chaos.job_states as j"
    " where j.token = w.token and j.owner_id = w.owner_id and j.video_id = w.video_id)",
    "a scene that exists twice": "select video_id, generation, scene_index from public.scenes"
    " group by video_id, generation, scene_index having count(*) > 1",
    "a scene of a generation that is over": "select s.id from public.scenes as s"
    " join public.videos as v on v.id = s.video_id where s.generation <> v.generation",
}


@dataclass
class Verdict:
    """What was found."""

    statuses: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    jobs: int = 0
    claims: int = 0
    swept: int = 0
    gone: int = 0
    announced: int = 0


def check(world: World, history: History, golden: Rows) -> Verdict:
    """Look at everything; the programs have stopped."""
    verdict = Verdict(violations=[*history.leaks, *history.broken])
    with psycopg.connect(world.database_url) as connection:
        for what, query in VIOLATIONS.items():
            rows = connection.execute(query).fetchall()
            if rows:
                verdict.violations.append(f"{what}: {len(rows)}, as {rows[0]}")
        verdict.jobs, verdict.claims, verdict.swept = connection.execute(
            "select count(distinct job_id), count(*) filter (where state = 'running'"
            " and old_state <> 'running'), count(*) filter (where state = 'retryable'"
            " and old_state = 'running') from chaos.job_states"
        ).fetchone() or (0, 0, 0)
        delivered = connection.execute(
            "select id::text from public.webhook_deliveries where state = 'delivered'"
        ).fetchall()
        stored = dict(connection.execute("select id, status from public.videos").fetchall())
    verdict.announced = len(delivered)
    unheard = {row[0] for row in delivered} - set(world.receiver.ids())
    verdict.violations += [f"a webhook that counts as delivered and never came: {unheard}"] * bool(
        unheard
    )
    for promised in history.videos.values():
        found = _judge(world, promised, stored.get(promised.video_id), golden, verdict)
        if found is not None:
            verdict.violations.append(f"video {promised.video_id}: {found}")
    verdict.violations += _orphans(world)
    return verdict


def _judge(
    world: World, promised: Promised, status: str | None, golden: Rows, verdict: Verdict
) -> str | None:
    """What is wrong with one acknowledged video, or None."""
    if status is None:
        verdict.gone += 1
        return None if promised.perhaps_deleted else "it is lost"
    verdict.statuses[status] += 1
    if promised.deleted:
        return f"it was deleted and is {status}"
    if status != "ready":
        return f"it is {status} after a retry in quiet"
    rows = comparable(snapshot(world.database_url, promised.video_id))
    differing = [name for name in golden if name not in OWN and rows[name] != golden[name]]
    return f"its {', '.join(differing)} differ from an undisturbed run's" if differing else None


# The transcript has the owner's word in it, so its rows are compared by number.
OWN = frozenset({"sidecars"})


def comparable(rows: Rows) -> Rows:
    """A snapshot without what differs between owners and generations."""
    plain = {name: [dict(row) for row in found] for name, found in rows.items()}
    for row in plain["video"]:
        del row["generation"]
    for row in [*plain["scenes"], *plain["utterances"]]:
        for name in ("transcript", "text"):
            if name in row:
                row[name] = row[name] is not None and "lighthouse" in row[name]
    plain["embeddings"] = [
        {**row, "embedding": row["channel"] == "transcript" or row["embedding"]}
        for row in plain["embeddings"]
    ]
    return plain


NAMED = (
    "select source_key from public.videos",
    "select audio_key from public.videos where audio_key is not null",
    "select transcript_key from public.videos where transcript_key is not null",
    "select image_key from public.keyframes",
)


def _orphans(world: World) -> list[str]:
    """Objects, temporary files and processes that belong to nothing."""
    with psycopg.connect(world.database_url) as connection:
        named = {row[0] for query in NAMED for row in connection.execute(query).fetchall()}
        keys = {
            str(path.relative_to(world.storage_dir))
            for path in world.storage_dir.rglob("*")
            if path.is_file() and path.name != MARKER
        }
    found = [f"an object that no row names: {key}" for key in sorted(keys - named)]
    found += [f"a row that names no object: {key}" for key in sorted(named - keys)]
    # A pool that is killed leaves an empty directory of Python's own; ours are removed with it.
    left = [
        path
        for path in sorted(world.temporary.rglob("*"))
        if not path.is_dir() or path.name.startswith(TEMPORARY)
    ]
    found += [f"a temporary file that was left: {path}" for path in left]
    found += [f"a process that lives on: {one}" for one in world.processes()]
    return found

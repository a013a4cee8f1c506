"""Checks of what works behind a database: workers, relays, the broker between them, and clocks."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from importlib.metadata import version
from time import time

import sqlalchemy as sa

from scenebook.cli.checks import Check, Verdict
from scenebook.cli.workplace import BROKER_TIMEOUT_S, why_silent
from scenebook.db.engine import Database, Role
from scenebook.db.overview import Process, overview
from scenebook.db.schema import connection_to
from scenebook.errors import ScenebookError

# A process says that it lives every few seconds.
SILENT_S = 60.0
# Signed URLs, tokens and ages are judged by several clocks.
CLOCK_SKEW_S = 2.0
KINDS = {"worker": "nobody does what is to be done", "relay": "nobody rings for what is to be done"}


def check_clock(url: str) -> Check:
    """This machine and Postgres agree on the time."""
    with connection_to(url) as connection:
        before = time()
        theirs = float(
            connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one()
        )
        after = time()
    return clock(theirs - (before + after) / 2, what="Postgres", round_trip_s=after - before)


def clock(ahead_s: float, *, what: str, round_trip_s: float) -> Check:
    """How far another clock is ahead of ours; half of the way there is not known."""
    shown = f"{what} is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine"
    if abs(ahead_s) <= CLOCK_SKEW_S + round_trip_s / 2:
        return Check("clock", Verdict.OK, shown)
    remedy = "Let both machines set their clocks (NTP): tokens and signed URLs depend on them."
    return Check("clock", Verdict.WARN, shown, remedy)


def processes_of(url: str) -> list[Process]:
    """Workers and relays that were alive within a day."""
    with closing(Database(url, role=Role.RELAY, pool_size=1)) as db, db.across_owners() as tx:
        return overview(tx, limit=1).processes


def check_processes(url: str) -> list[Check]:
    """A worker and a relay live, and are of this version."""
    try:
        found = processes_of(url)
    except ScenebookError as error:
        return [Check("processes", Verdict.FAIL, str(error), "See the checks above.")]
    return [_kind(kind, found) for kind in KINDS]


def _kind(kind: str, found: list[Process]) -> Check:
    alive = _alive(kind, found)
    if not alive:
        silent = [one for one in found if one.kind == kind]
        last = f", the last one {min(one.silent_s for one in silent):.0f} s ago" if silent else ""
        remedy = f"Start a {kind}, or read its log; until then {KINDS[kind]}."
        return Check(kind, Verdict.FAIL, f"none said within {SILENT_S:.0f} s that it lives{last}",
                     remedy)  # fmt: skip
    ours = version("scenebook")
    versions = Counter(one.version or "unknown" for one in alive)
    shown = f"{len(alive)} alive, version " + ", ".join(sorted(versions))
    if set(versions) != {ours}:
        remedy = f"This is version {ours}: replace those that are not."
        return Check(kind, Verdict.WARN, shown, remedy)
    return Check(kind, Verdict.OK, shown)


def _alive(kind: str, found: list[Process]) -> list[Process]:
    return [
        one for one in found
        if one.kind == kind and not one.draining and float(one.silent_s) <= SILENT_S
    ]  # fmt: skip


def check_listeners(redis_url: str, url: str) -> Check:
    """Workers that live wait for messages at this broker, and not at another one."""
    import redis

    try:
        workers = len(_alive("worker", processes_of(url)))
        plain = redis_url.replace("redis+socket://", "unix://", 1)
        with closing(redis.Redis.from_url(plain, socket_timeout=BROKER_TIMEOUT_S)) as broker:
            clients = broker.client_list()
            here = str(broker.connection_pool.connection_kwargs.get("db") or 0)
            listening = sum(one["cmd"] == "brpop" and one["db"] == here for one in clients)
    except (redis.RedisError, KeyError, ScenebookError) as error:
        remedy = "Where Redis forbids CLIENT LIST, `scenebook queue` shows whether work goes on."
        return Check("broker", Verdict.OFF, f"not to be asked ({type(error).__name__})", remedy)
    if workers and not listening:
        return Check(
            "broker",
            Verdict.WARN,
            f"{workers} workers live, and nobody listens here",
            "Give relay and workers the same REDIS_URL as this, its database number included.",
        )
    if not listening:
        return Check("broker", Verdict.OFF, "nobody listens here", "Start a worker.")
    return Check("broker", Verdict.OK, f"{listening} listen here")


def why_idle(url: str, redis_url: str | None) -> str:
    """What to do when no job is taken: who is missing, as far as the database can tell."""
    try:
        found = processes_of(url)
    except ScenebookError as error:
        return str(error)
    missing = [kind for kind in KINDS if not _alive(kind, found)]
    if missing:
        return "; ".join(f"No {kind} is alive: {KINDS[kind]}" for kind in missing) + ". Start it."
    if redis_url is not None and why_silent(redis_url) is not None:
        return "Worker and relay live, and the broker is away: they go on when Redis is back."
    return (
        "Worker and relay live. They are busy with others' jobs (`scenebook queue`), or use "
        "another REDIS_URL than each other."
    )

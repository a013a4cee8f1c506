"""One run: load and faults for a while, then quiet, then the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from scenebook.client import Scenebook
from scenebook.client.errors import ApiError
from scenebook.errors import DeadlineExceeded
from tests.chaos.checker import Rows, Verdict, check, comparable
from tests.chaos.clients import SETTLED, Client
from tests.chaos.footage import base_video, copy_of
from tests.chaos.history import History
from tests.chaos.nemesis import Nemesis
from tests.chaos.world import World, a_world
from tests.snapshots import snapshot
from tests.stack import free_port

OWNERS = 3
# A fault that found nothing to hit yet has so much longer.
GRACE_S = 45.0
# Time for what is still running when the faults end, on two busy cores.
PATIENCE_S = 120.0


@dataclass
class Report:
    """What a run dealt, and what it found."""

    seed: int
    seconds: float
    dealt: Counter[str]
    never: list[str]
    after_faults: Counter[str]
    reasons: Counter[str]
    quiet_after_s: float
    history: History
    verdict: Verdict
    ends: dict[str, Counter[int]]
    notes: list[str]

    @property
    def failures(self) -> list[str]:
        """Why the run did not pass; empty if it did."""
        missing = [f"a fault that was never dealt: {kind}" for kind in self.never]
        return [*self.verdict.violations, *missing, *self.notes]

    def lines(self) -> list[str]:
        """The report for people."""
        verdict = self.verdict
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.dealt.items()))
        return [
            f"chaos: {self.seconds:.0f} s, seed {self.seed}: {sum(self.dealt.values())} faults of "
            f"{len(self.dealt)} kinds",
            f"  dealt: {faults}",
            f"  videos acknowledged: {len(self.history.videos)}; when the faults ended: "
            f"{_counted(self.after_faults)}; quiet after {self.quiet_after_s:.1f} s",
            f"  reasons then: {_counted(self.reasons) or 'none'}",
            f"  after retries: {_counted(verdict.statuses)}, {verdict.gone} deleted as asked",
            f"  jobs: {verdict.jobs} in {verdict.claims} claims; given back or swept: "
            f"{verdict.swept}; webhooks delivered: {verdict.announced}",
            f"  requests: {_counted(self.history.asked)}; errors that clients met and outlived: "
            f"{_counted(self.history.failed) or 'none'}",
            f"  program ends: {'; '.join(f'{n} {_counted(e)}' for n, e in self.ends.items())}",
            *(f"  VIOLATION: {failure}" for failure in self.failures[:40]),
            f"  {'FAILED' if self.failures else 'passed'}: {len(self.failures)} violations",
        ]


def _counted(counter: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def run(*, seconds: float, seed: int, every_s: float, keep_logs: Path | None = None) -> Report:
    """Break everything for some seconds, and judge."""
    with a_world() as world:
        try:
            return _run(world, seconds=seconds, seed=seed, every_s=every_s)
        finally:
            if keep_logs is not None:
                keep_logs.mkdir(parents=True, exist_ok=True)
                for log in (world.home / "log").iterdir():
                    (keep_logs / log.name).write_bytes(log.read_bytes())


def _run(world: World, *, seconds: float, seed: int, every_s: float) -> Report:
    base = base_video(world.home / "base.mkv").read_bytes()
    golden = _undisturbed(world, base)
    history = History()
    owners = [UUID(int=(seed << 64) + place + 1, version=4) for place in range(OWNERS)]
    clients = [
        Client(
            world.url, owner, base=base, home=world.home, seed=seed * OWNERS + place,
            history=history,
        )
        for place, owner in enumerate(owners)
    ]  # fmt: skip
    nobody = f"http://127.0.0.1:{free_port()}/nobody"
    for client, url in zip(clients, (nobody, *[world.receiver.url] * (OWNERS - 1)), strict=True):
        client.service.webhooks.add(url)
    nemesis = Nemesis(world, seed=seed, every_s=every_s)
    for client in clients:
        client.start()
    nemesis.start()
    began = time.monotonic()
    while time.monotonic() - began < seconds + (GRACE_S if nemesis.never else 0):
        time.sleep(0.1)
    seconds = time.monotonic() - began
    nemesis.stop()
    for client in clients:
        client.stop()
    began = time.monotonic()
    notes = _quiet(world, history, "the faults ended")
    quiet_after_s = time.monotonic() - began
    after_faults = _statuses(world, history)
    reasons = _reasons(world)
    for client in clients:
        _retry(client.service, [str(one.video_id) for one in history.of(client._owner_id)])
    notes += _quiet(world, history, "everything was retried")
    for client in clients:
        client.close()
    world.stop()
    return Report(
        seed=seed,
        seconds=seconds,
        dealt=nemesis.dealt,
        never=nemesis.never,
        after_faults=after_faults,
        reasons=reasons,
        quiet_after_s=quiet_after_s,
        history=history,
        verdict=check(world, history, golden),
        ends={name: Counter(kept.ends) for name, kept in world.kept.items()},
        notes=notes + nemesis.errors,
    )


def _undisturbed(world: World, base: bytes) -> Rows:
    """What is stored of the video when nobody disturbs."""
    owner = uuid4()
    client = Client(world.url, owner, base=base, home=world.home, seed=0, history=History())
    path = copy_of(base, world.home / "golden.mkv", mark="golden")
    until(lambda: _answers(client.service), "the API")
    added = client.service.upload(path, transcript=world.home / f"{owner}.vtt")
    settled = client.service.wait(added.id, timeout=60)
    assert settled.status == "ready", settled.reason
    client.close()
    return comparable(snapshot(world.database_url, UUID(str(added.id))))


def _answers(service: Scenebook) -> bool:
    try:
        list(service.videos())
    except (ApiError, DeadlineExceeded):
        return False
    return True


def _quiet(world: World, history: History, since: str) -> list[str]:
    """Wait until nothing is to be done; what is wrong if that takes too long."""
    try:
        until(lambda: _is_quiet(world, history), "quiescence")
    except AssertionError:
        return [f"{PATIENCE_S:.0f} s after {since}: {_counted(_statuses(world, history))}"]
    return []


def _is_quiet(world: World, history: History) -> bool:
    with psycopg.connect(world.database_url) as connection:
        row = connection.execute(
            "select count(*) from public.jobs where state in ('queued', 'retryable', 'running')"
        ).fetchone()
    open_statuses = set(_statuses(world, history)) - {*SETTLED, "gone"}
    return row == (0,) and not open_statuses


def _statuses(world: World, history: History) -> Counter[str]:
    with psycopg.connect(world.database_url) as connection:
        stored = dict(connection.execute("select id, status from public.videos").fetchall())
    return Counter(stored.get(one, "gone") for one in history.videos)


def _reasons(world: World) -> Counter[str]:
    """Why videos are not ready."""
    with psycopg.connect(world.database_url) as connection:
        return Counter(
            f"{status} ({stage}): {reason}"
            for status, stage, reason in connection.execute(
                "select status, failed_stage, reason from public.videos where status <> 'ready'"
            ).fetchall()
        )


def _retry(service: Scenebook, ours: list[str]) -> None:
    for video in list(service.videos()):
        if str(video.id) in ours and video.status != "ready":
            service.retry(video.id)


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fails after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.1)

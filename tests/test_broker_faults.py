"""Faults of the broker under a real worker and relay: they wait, come back, and lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import redis

from scenebook.embedded.redis import EmbeddedRedis
from scenebook.model import Stage, Video, VideoStatus
from scenebook.settings import Settings
from tests.brokers import a_broker, client_of
from tests.stack import Stack, short_leases
from tests.test_worker_faults import LONGER, a_copy, running
from worker.relay import LONG_QUEUE
from worker.watchdog import QUEUE

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

RESUMED_S = 15


class Place:
    """A worker and a relay on a broker of their own."""

    def __init__(self, stack: Stack, server: EmbeddedRedis, directory: Path, owner: UUID) -> None:
        self.stack = stack
        self.server = server
        self.client = client_of(server.url)
        self.processes = [stack.start_worker(), stack.start_relay()]
        self._directory = directory
        self._owner = owner

    def add(self, name: str) -> Video:
        return self.stack.add(a_copy(self._directory, name), owner_id=self._owner)

    def add_longer(self, name: str) -> Video:
        path = a_copy(self._directory, name, of=LONGER)
        return self.stack.add(path, owner_id=self._owner)

    def seconds_until_claimed(self, name: str) -> float:
        """How long a new video waits for its first job."""
        began = time.monotonic()
        video = self.add(name)
        self.stack.wait(
            lambda: self.stack.now(video).status is not VideoStatus.WAITING, f"{name} to be begun"
        )
        seconds = time.monotonic() - began
        assert self.stack.settled(video).status is VideoStatus.READY
        assert [process.poll() for process in self.processes] == [None, None]
        return seconds


@pytest.fixture
def place(settings: Settings, alice: UUID, tmp_path: Path) -> Iterator[Place]:
    """A worker and a relay that have done one video."""
    with a_broker() as server:
        stack = Stack(settings.model_copy(update=short_leases(server.url)))
        try:
            made = Place(stack, server, tmp_path, alice)
            made.seconds_until_claimed("first")
            yield made
        finally:
            stack.close()


def test_work_goes_on_after_the_broker_was_restarted_or_dropped_its_clients(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    lines = ["seconds from the fault to the next job's claim:"]

    def measured(what: str, seconds: float) -> None:
        lines.append(f"  {what:32} {seconds:5.1f} s")
        assert seconds <= RESUMED_S, lines

    for number in range(3):
        place.server.stop()
        time.sleep(1)
        place.server.start()
        measured("restarted", place.seconds_until_claimed(f"restarted{number}"))
    for number in range(3):
        place.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        measured("clients killed", place.seconds_until_claimed(f"dropped{number}"))
    busy = place.add_longer("busy")
    place.stack.wait(lambda: running(place.stack, busy, Stage.SEGMENT), "segment to be in work")
    place.server.stop()
    place.server.start()
    measured("restarted while busy", place.seconds_until_claimed("after-busy"))
    assert place.stack.settled(busy).status is VideoStatus.READY
    busy = place.add("flushed")
    place.client.flushall()
    assert place.stack.settled(busy).status is VideoStatus.READY
    measured("flushed", place.seconds_until_claimed("after-flush"))
    record_property("table", lines)


def test_a_full_broker_is_waited_for_and_nothing_is_lost(place: Place) -> None:
    place.client.config_set("maxmemory", "2mb")
    _fill(place.client)
    videos = [place.add(f"full{number}") for number in range(5)]
    time.sleep(5)
    assert [process.poll() for process in place.processes] == [None, None]
    place.client.delete("ballast")
    for video in videos:
        assert place.stack.settled(video).status is VideoStatus.READY
    assert [process.poll() for process in place.processes] == [None, None]


def test_a_broker_that_fills_up_between_a_message_and_its_receipt_ends_nobody(
    place: Place,
) -> None:
    """The worker writes down each message that it takes, and a full broker refuses that."""
    videos = []
    for number in range(4):
        place.client.config_set("maxmemory", "0")
        videos.append(
            place.add_longer(f"filling{number}") if not number else place.add(f"f{number}")
        )
        time.sleep(0.3)
        place.client.config_set("maxmemory", "1")
        time.sleep(2)
        assert [process.poll() for process in place.processes] == [None, None]
    place.client.config_set("maxmemory", "0")
    for video in videos:
        assert place.stack.settled(video).status is VideoStatus.READY


def _fill(client: redis.Redis) -> None:
    for size in (100_000, 10_000, 1000, 10):
        try:
            while True:
                client.append("ballast", b"x" * size)
        except redis.exceptions.OutOfMemoryError:
            continue


def test_rings_are_not_repeated_while_more_wait_than_anybody_answers(
    settings: Settings, alice: UUID, tmp_path: Path
) -> None:
    with a_broker() as broker:
        short = short_leases(broker.url) | {"job_republish_s": 0.5}
        stack = Stack(settings.model_copy(update=short))
        queue = client_of(broker.url)
        queue.lpush(QUEUE, *["a ring"] * (LONG_QUEUE + 1))
        try:
            stack.start_relay()
            stack.add(a_copy(tmp_path, "one"), owner_id=alice)
            stack.wait(lambda: queue.llen(QUEUE) == LONG_QUEUE + 2, "the first ring")
            time.sleep(3)  # several times its interval
            assert queue.llen(QUEUE) == LONG_QUEUE + 2
            queue.flushall()
            stack.wait(lambda: queue.llen(QUEUE) > 0, "the ring to be repeated")
        finally:
            stack.close()

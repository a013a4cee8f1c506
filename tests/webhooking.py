"""Endpoints, settled videos and a sender, for tests of webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg

from scenebook import settling
from scenebook.db.engine import Database, Role
from scenebook.db.webhooks import Delivery, Endpoint
from scenebook.settings import Settings
from scenebook.webhooks import add_endpoint, list_deliveries
from tests.receivers import PATIENCE_S, Receiver
from tests.rows import a_scene, a_video
from worker.deliveries import Deliveries

AT_ONCE: Sequence[float] = (0.0,) * 9


class Deployment:
    """One deployment: its databases under their roles, and a sender."""

    def __init__(self, settings: Settings, *, schedule_s: Sequence[float] = AT_ONCE) -> None:
        assert settings.database_url is not None
        self.settings = settings
        self.url = settings.database_url
        self.api = Database(self.url, role=Role.API, pool_size=2)
        self.worker = Database(self.url, role=Role.WORKER, pool_size=1)
        self.relay = Database(self.url, role=Role.RELAY, pool_size=4)
        self.sender = Deliveries(settings, self.relay, schedule_s=schedule_s)

    def endpoint(self, receiver: Receiver, *, owner_id: UUID) -> Endpoint:
        """An endpoint at a receiver."""
        return add_endpoint(self.api, self.settings, owner_id=owner_id, url=receiver.url)

    def video(self, *, owner_id: UUID) -> UUID:
        """A video of one scene whose jobs are done, not settled yet."""
        with psycopg.connect(self.url) as connection:
            video = a_video(connection, owner=owner_id, status="processing")
            scene = a_scene(connection, owner=owner_id, video=video)
            connection.execute(
                "insert into public.scene_channels (owner_id, scene_id, channel, status)"
                " values (%s, %s, 'transcript', 'ok')",
                (owner_id, scene),
            )
        return video

    def settle(self, *, owner_id: UUID, video_id: UUID | None = None) -> UUID:
        """Settle a video as the last job does; returns it."""
        video_id = video_id or self.video(owner_id=owner_id)
        with self.worker.transaction(owner_id=owner_id) as tx:
            settling.finish(tx, owner_id=owner_id, video_id=video_id, generation=1)
        return video_id

    def log(self, endpoint: Endpoint, *, owner_id: UUID) -> list[Delivery]:
        """The deliveries to an endpoint, newest first."""
        page = list_deliveries(self.api, owner_id=owner_id, endpoint_id=endpoint.id, limit=100)
        return list(page.deliveries)

    def send_until(self, condition: Callable[[], bool], what: str) -> None:
        """Rounds of the sender until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
            self.sender.round()
            time.sleep(0.02)

    def send_all(self, endpoint: Endpoint, *, owner_id: UUID) -> list[Delivery]:
        """Rounds until nothing is pending for an endpoint; returns its log."""
        self.send_until(
            lambda: all(one.state != "pending" for one in self.log(endpoint, owner_id=owner_id)),
            "all deliveries",
        )
        return self.log(endpoint, owner_id=owner_id)

    def tried(self, endpoint: Endpoint, *, owner_id: UUID) -> Delivery:
        """The newest delivery to an endpoint once an attempt has failed."""
        self.send_until(
            lambda: self.log(endpoint, owner_id=owner_id)[0].error is not None, "an attempt"
        )
        return self.log(endpoint, owner_id=owner_id)[0]


@contextmanager
def a_deployment(
    settings: Settings, *, schedule_s: Sequence[float] = AT_ONCE
) -> Iterator[Deployment]:
    """A deployment that may send to this machine."""
    made = Deployment(
        settings.model_copy(update={"fetch_allow_hosts": "127.0.0.1"}), schedule_s=schedule_s
    )
    try:
        yield made
    finally:
        made.sender.close()
        for database in (made.api, made.worker, made.relay):
            database.close()

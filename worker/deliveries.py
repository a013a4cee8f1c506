"""Webhooks on their way: due deliveries are signed, sent and marked, beside the relay's rounds.

Any number of copies may run. A delivery is claimed by a lease, sent outside of any transaction and
marked afterwards; whoever dies between leaves it to be sent again under the same webhook-id.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import structlog

from scenebook import fetching, metrics, tracing
from scenebook.addresses import allowed_hosts
from scenebook.db import webhooks
from scenebook.db.engine import Database
from scenebook.db.webhooks import Claimed, Fairness
from scenebook.errors import ScenebookError
from scenebook.settings import Settings
from scenebook.webhooks import ROTATION_S, signed

log = structlog.get_logger(__name__)

# Pauses after the first, second, … attempt that fails; after the last one a delivery is given up.
SCHEDULE_S: Sequence[float] = (
    5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600,
)  # fmt: skip
JITTER = 0.2
AT_ONCE = 16
# So that neither one owner nor one endpoint that does not answer keeps the others waiting.
AT_ONCE_OF_OWNER = 6
AT_ONCE_OF_ENDPOINT = 2
MAX_PAUSE_S = 10.0
GONE = 410
DEAD = "Nothing was delivered for days. Mend the receiver and enable the endpoint again."


class Deliveries:
    """One copy of the sender, with threads of its own."""

    def __init__(
        self, settings: Settings, db: Database, *, schedule_s: Sequence[float] = SCHEDULE_S
    ) -> None:
        self._settings = settings
        self._db = db
        self._schedule_s = schedule_s
        self._allow_hosts = allowed_hosts(settings)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._lock = threading.Lock()
        self._owners: Counter[UUID] = Counter()
        self._endpoints: Counter[UUID] = Counter()
        self._freed = threading.Event()

    def round(self) -> int:
        """Claim what is due and has a free thread, and start to send it; returns how many."""
        self._freed.clear()
        fairness = self._fairness()
        if fairness.limit == 0:
            return 0
        # Longer than an attempt can take, so that no other copy sends the same meanwhile.
        lease_s = 2 * self._settings.webhook_timeout_s + 30
        with self._db.across_owners() as tx:
            claimed = webhooks.claim(tx, fairness, lease_s=lease_s, rotation_s=ROTATION_S)
        for one in claimed:
            self._count(one, 1)
            self._threads.submit(self._deliver, one)
        return len(claimed)

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop`; a database that is away is waited for."""
        pause_s = self._settings.relay_interval_s
        while not stop.is_set():
            try:
                self.round()
            except Exception as error:  # what fails once, as a database away, may work again
                unforeseen = not isinstance(error, ScenebookError)
                log.warning("deliveries_round_failed", error=str(error), exc_info=unforeseen)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
                stop.wait(pause_s)
                continue
            pause_s = self._settings.relay_interval_s
            # There may be more of an owner or endpoint as soon as one of theirs has been sent.
            self._freed.wait(pause_s)

    def close(self) -> None:
        """Wait for what is being sent; nothing new is claimed."""
        self._threads.shutdown()

    def _fairness(self) -> Fairness:
        with self._lock:
            return Fairness(
                limit=AT_ONCE - self._owners.total(),
                most_of_owner=AT_ONCE_OF_OWNER,
                most_of_endpoint=AT_ONCE_OF_ENDPOINT,
                sending_of_owners=dict(self._owners),
                sending_of_endpoints=dict(self._endpoints),
            )

    def _count(self, one: Claimed, change: int) -> None:
        with self._lock:
            for counter, key in ((self._owners, one.owner_id), (self._endpoints, one.endpoint_id)):
                counter[key] += change
                if counter[key] == 0:
                    del counter[key]

    def _deliver(self, one: Claimed) -> None:
        try:
            with tracing.continued(one.traceparent):
                status, error = self._send(one)
                self._mark(one, status, error)
        except ScenebookError as problem:
            log.warning("delivery_not_marked", delivery_id=str(one.id), error=str(problem))
        except Exception:  # one delivery that cannot be sent must not stop the others
            log.exception("delivery_broke", delivery_id=str(one.id))
        finally:
            self._count(one, -1)
            self._freed.set()

    def _send(self, one: Claimed) -> tuple[int | None, str]:
        """The status of the answer, or None and why there is none."""
        body, headers = signed(one, at=datetime.now(UTC))
        with metrics.WEBHOOK_SECONDS.time():
            try:
                answer = fetching.fetch(
                    one.url,
                    method="POST",
                    headers=headers,
                    content=body,
                    timeout_s=self._settings.webhook_timeout_s,
                    max_bytes=0,
                    allow_hosts=self._allow_hosts,
                )
            except ScenebookError as error:
                return None, str(error)
        return answer.status, f"The receiver answered with status {answer.status}."

    def _mark(self, one: Claimed, status: int | None, error: str) -> None:
        if status is not None and 200 <= status < 300:
            with self._db.across_owners() as tx:
                webhooks.delivered(tx, one, status=status)
            metrics.WEBHOOKS.labels("delivered").inc()
            return
        gone = status == GONE
        again_s = None if gone else self._again_s(one.attempt)
        disabled = False
        with self._db.across_owners() as tx:
            ours = webhooks.not_delivered(tx, one, status=status, error=error, again_s=again_s)
            if ours and gone:
                disabled = webhooks.disable(tx, one, reason="The receiver answered 410 Gone.")
            elif ours and again_s is None:
                disabled = webhooks.disable_dead(tx, one, reason=DEAD)
        metrics.WEBHOOKS.labels("retried" if again_s is not None else "failed").inc()
        log.info(
            "webhook_not_delivered", delivery_id=str(one.id), attempt=one.attempt, status=status
        )
        if disabled:
            log.warning("webhook_endpoint_disabled", endpoint_id=str(one.endpoint_id))

    def _again_s(self, attempt: int) -> float | None:
        """Seconds until the next attempt, None after the last; jittered, so that crowds spread."""
        if attempt > len(self._schedule_s):
            return None
        return self._schedule_s[attempt - 1] * random.uniform(1, 1 + JITTER)

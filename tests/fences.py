"""States of things in which a statement must do nothing; in the first of each it does something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Try:
    """A statement that makes the state, and parameters that are not the usual ones."""

    state: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


NO_LONGER = Try("update public.jobs set state = 'succeeded', lease_token = 7, finished_at = now()")
RUNNING = Try(
    "update public.jobs set state = 'running', lease_token = 7, lease_owner = 'a worker',"
    " lease_until = now() + interval '1 hour', deadline_at = now() + interval '2 hours'"
    " where id = :id"
)
SILENT = Try(
    "update public.jobs set state = 'running', lease_token = 7,"
    " lease_until = now() - interval '1 second' where id = :id"
)
OUTRUN = Try(RUNNING.state, {"token": 8})
ANSWERED = Try("update public.idempotency_keys set status = 200, response = '{}'")
GIVEN_UP = Try("update public.webhook_deliveries set state = 'failed', finished_at = now()")

FENCES: Mapping[str, tuple[Try, ...]] = {
    "jobs/claim": (
        Try(), RUNNING, NO_LONGER,
        Try("update public.jobs set run_at = now() + interval '1 hour' where id = :id"),
        Try("update public.jobs set cancel_requested = true where id = :id"),
        Try("insert into public.workers (id, kind, draining) values (:worker, 'worker', true)"),
    ),
    "jobs/beat": (RUNNING, OUTRUN, Try(), NO_LONGER),
    "jobs/fence": (RUNNING, OUTRUN, Try(), NO_LONGER),
    "jobs/succeed": (RUNNING, OUTRUN),
    "jobs/expired_one": (SILENT, RUNNING, Try(), NO_LONGER),
    "jobs/mark_published": (Try(), RUNNING, NO_LONGER),
    "jobs/cancel": (Try(), NO_LONGER),
    "jobs/remove_stages": (NO_LONGER, Try(values={"stages": ["probe"]})),
    "idempotency/claim": (
        Try(values={"key": "another"}), Try(), ANSWERED,
        Try(
            "update public.idempotency_keys set status = 200, response = '{}',"
            " locked_until = '2000-01-01Z'"
        ),
    ),
    "idempotency/finish": (
        Try(values={"status": 200}), ANSWERED,
        Try(values={"status": 200, "locked_until": "2099-01-01Z"}),
    ),
    "idempotency/release": (Try(), ANSWERED, Try(values={"locked_until": "2099-01-01Z"})),
    "tidying/idempotency_keys": (
        Try(
            "update public.idempotency_keys set created_at = '2000-01-01Z',"
            " locked_until = '2000-01-01Z'"
        ),
        Try("update public.idempotency_keys set created_at = '2000-01-01Z'"),
    ),
    "uploads/advance": (Try(), Try(values={"writer": 1}), Try(values={"offset": 4})),
    "uploads/take_over": (Try(), Try(values={"offset": 4})),
    "videos/started": (Try(), Try("update public.videos set status = 'processing'")),
    "videos/uploaded": (Try(), Try("update public.videos set status = 'waiting'")),
    "tidying/give_up_video": (Try(), Try("update public.videos set status = 'waiting'")),
    "spaces/remove": (Try(values={"id": 5}), Try()),
    "webhooks/claim": (
        Try(), GIVEN_UP,
        Try("update public.webhook_deliveries set next_at = now() + interval '1 hour'"),
        Try("update public.webhook_endpoints set disabled_at = now()"),
    ),
    "webhooks/delivered": (Try(), GIVEN_UP),
    "webhooks/not_delivered": (
        Try(), GIVEN_UP, Try("update public.webhook_deliveries set attempt = 1")
    ),
    "webhooks/disable_dead": (
        GIVEN_UP,
        Try("update public.webhook_deliveries set state = 'delivered', finished_at = now()"),
    ),
}  # fmt: skip

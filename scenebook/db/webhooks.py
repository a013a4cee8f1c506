"""Rows of `webhook_endpoints` and `webhook_deliveries`: who is told, and the outbox and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row

from scenebook import tracing
from scenebook.db.engine import statement
from scenebook.db.values import clean_error, to_json

DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an owner wants to be told of which events; disabled while `disabled_at` is set."""

    id: UUID
    url: str
    events: tuple[str, ...]
    created_at: datetime
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    rotated_at: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint; `attempt` counts what was tried, `next_at` is for pending ones.

    response_status is that of the last attempt, None if there was no answer.
    """

    id: UUID
    endpoint_id: UUID
    event: str
    payload: Mapping[str, Any]
    state: DeliveryState
    attempt: int
    next_at: datetime
    response_status: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process is to send now; the newer of its secrets comes first."""

    id: UUID
    owner_id: UUID
    endpoint_id: UUID
    event: str
    payload: Mapping[str, Any]
    attempt: int
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Fairness:
    """How many may be sent at once, and what is being sent already."""

    limit: int
    most_of_owner: int
    most_of_endpoint: int
    sending_of_owners: Mapping[UUID, int]
    sending_of_endpoints: Mapping[UUID, int]


def hold_owner(tx: Connection, *, owner_id: UUID) -> None:
    """Let nobody else add an endpoint of this owner until the transaction ends."""
    tx.execute(statement("videos/add_owner"), {"owner_id": owner_id})
    tx.execute(statement("webhooks/hold_owner"), {"owner_id": owner_id})


def add(
    tx: Connection, *, owner_id: UUID, url: str, secret: str, events: Sequence[str]
) -> Endpoint:
    """Add an endpoint."""
    row = tx.execute(
        statement("webhooks/add"),
        {"owner_id": owner_id, "url": url, "secret": secret, "events": list(events)},
    ).one()
    return _endpoint(row)


def endpoints(tx: Connection, *, owner_id: UUID, endpoint_id: UUID | None = None) -> list[Endpoint]:
    """The owner's endpoints, oldest first, or the one with this id."""
    rows = tx.execute(
        statement("webhooks/select"), {"owner_id": owner_id, "endpoint_id": endpoint_id}
    )
    return [_endpoint(row) for row in rows]


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**(row._asdict() | {"events": tuple(row.events)}))


def change(
    tx: Connection,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    url: str | None,
    events: Sequence[str] | None,
    enabled: bool | None,
    reason: str,
) -> None:
    """Change what is not None; `reason` is why it is disabled, if it is."""
    tx.execute(
        statement("webhooks/change"),
        {
            "owner_id": owner_id,
            "endpoint_id": endpoint_id,
            "url": url,
            "events": None if events is None else list(events),
            "enabled": enabled,
            "reason": reason,
        },
    )


def rotate(tx: Connection, *, owner_id: UUID, endpoint_id: UUID, secret: str) -> None:
    """Sign with this secret from here on; what was the secret is the previous one."""
    tx.execute(
        statement("webhooks/rotate"),
        {"owner_id": owner_id, "endpoint_id": endpoint_id, "secret": secret},
    )


def remove(tx: Connection, *, owner_id: UUID, endpoint_id: UUID) -> bool:
    """Remove an endpoint and its log; False if the owner has none with this id."""
    row = tx.execute(
        statement("webhooks/remove"), {"owner_id": owner_id, "endpoint_id": endpoint_id}
    ).one_or_none()
    return row is not None


def is_wanted(tx: Connection, *, owner_id: UUID, event: str) -> bool:
    """Whether an enabled endpoint of the owner wants this event."""
    found = tx.execute(statement("webhooks/is_wanted"), {"owner_id": owner_id, "event": event})
    return bool(found.scalar_one())


def queue_event(tx: Connection, *, owner_id: UUID, event: str, payload: Mapping[str, Any]) -> None:
    """Add a delivery for each enabled endpoint of the owner that wants this event."""
    tx.execute(
        statement("webhooks/queue_event"),
        {
            "owner_id": owner_id,
            "event": event,
            "payload": to_json(payload),
            "traceparent": tracing.current(),
        },
    )


def queue_one(
    tx: Connection, *, owner_id: UUID, endpoint_id: UUID, event: str, payload: Mapping[str, Any]
) -> UUID:
    """Add a delivery for one endpoint, whatever it wants; returns the delivery's id."""
    found = tx.execute(
        statement("webhooks/queue_one"),
        {
            "owner_id": owner_id,
            "endpoint_id": endpoint_id,
            "event": event,
            "payload": to_json(payload),
            "traceparent": tracing.current(),
        },
    )
    return UUID(str(found.scalar_one()))


def deliveries(
    tx: Connection,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    limit: int,
    delivery_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
) -> list[Delivery]:
    """The log of an endpoint, newest first, from after the row with this time and id."""
    rows = tx.execute(
        statement("webhooks/select_deliveries"),
        {
            "owner_id": owner_id,
            "endpoint_id": endpoint_id,
            "delivery_id": delivery_id,
            "before_at": before and before[0],
            "before_id": before and before[1],
            "limit": limit,
        },
    )
    return [Delivery(**row._asdict()) for row in rows]


def redeliver(tx: Connection, *, owner_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> None:
    """Make a delivery due now, with all attempts before it."""
    tx.execute(
        statement("webhooks/redeliver"),
        {"owner_id": owner_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id},
    )


def claim(
    tx: Connection, fairness: Fairness, *, lease_s: float, rotation_s: float
) -> list[Claimed]:
    """Take due deliveries of any owners; only the relay's role sees them.

    One that is not settled within `lease_s` seconds is due again.
    """
    owners, endpoints_ = fairness.sending_of_owners, fairness.sending_of_endpoints
    rows = tx.execute(
        statement("webhooks/claim"),
        {
            "limit": fairness.limit,
            "most_of_owner": fairness.most_of_owner,
            "most_of_endpoint": fairness.most_of_endpoint,
            "owner_ids": list(owners),
            "owners_sending": list(owners.values()),
            "endpoint_ids": list(endpoints_),
            "endpoints_sending": list(endpoints_.values()),
            "lease_s": lease_s,
            "rotation_s": rotation_s,
        },
    )
    return [
        Claimed(
            id=row.id,
            owner_id=row.owner_id,
            endpoint_id=row.endpoint_id,
            event=row.event,
            payload=row.payload,
            attempt=row.attempt,
            url=row.url,
            secrets=tuple(one for one in (row.secret, row.previous_secret) if one is not None),
            traceparent=row.traceparent,
        )
        for row in rows
    ]


def delivered(tx: Connection, one: Claimed, *, status: int) -> None:
    """The receiver has it."""
    tx.execute(statement("webhooks/delivered"), {"id": one.id, "status": status})


def not_delivered(
    tx: Connection, one: Claimed, *, status: int | None, error: str, again_s: float | None
) -> bool:
    """Try again after so many seconds, or never (None); False if another copy took it meanwhile."""
    row = tx.execute(
        statement("webhooks/not_delivered"),
        {
            "id": one.id,
            "attempt": one.attempt,
            "status": status,
            "error": clean_error(error),
            "again_s": again_s,
        },
    ).one_or_none()
    return row is not None


def disable(tx: Connection, one: Claimed, *, reason: str) -> bool:
    """Disable the endpoint of a delivery; False if it is disabled."""
    values = {"owner_id": one.owner_id, "endpoint_id": one.endpoint_id, "reason": reason}
    return tx.execute(statement("webhooks/disable"), values).one_or_none() is not None


def disable_dead(tx: Connection, one: Claimed, *, reason: str) -> bool:
    """Disable the endpoint if nothing has reached it since this delivery was queued."""
    values = {
        "id": one.id,
        "owner_id": one.owner_id,
        "endpoint_id": one.endpoint_id,
        "reason": reason,
    }
    return tx.execute(statement("webhooks/disable_dead"), values).one_or_none() is not None

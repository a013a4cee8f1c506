"""Webhook endpoints of an owner and the log of their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.caller import Admin, Reader
from api.fields import Url
from api.paging import Limit, PageToken, read_page, sign_page
from api.replays import OnceOf
from api.shapes import PageOut
from api.shared import ServicesOf
from scenebook import webhooks
from scenebook.db.webhooks import Delivery, DeliveryState, Endpoint
from scenebook.idempotency import Answer
from scenebook.webhooks import Event

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

PURPOSE = "deliveries"
USUAL = (401, 403, 422, 429, 503)
Events = Annotated[list[Event], Field(min_length=1, max_length=len(Event))]


class EndpointIn(BaseModel):
    """Where to send what."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="https, or http; a public address. Redirects are not followed.")
    events: Events = Field(default_factory=lambda: list(Event))


class EndpointChange(BaseModel):
    """What is left out, or null, stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    enabled: bool | None = Field(
        None, description="False: nothing is sent. True: again, and what waited for it too."
    )


class EndpointOut(BaseModel):
    """One endpoint; its secret is shown when it is made and rotated only."""

    id: UUID
    url: str
    events: list[Event]
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    rotated_at: datetime | None = Field(description="The secret before signs too for 24 hours.")
    created_at: datetime


class EndpointWithSecret(EndpointOut):
    """One endpoint and the secret that its receiver checks signatures with."""

    secret: str = Field(description="whsec_…; keep it, for it is not shown again.")


class EndpointAdded(EndpointOut):
    """A new endpoint, with the one sight of its secret."""

    secret: str | None = Field(
        description="whsec_…; keep it, for it is not shown again: in a replay it is null."
    )


class EndpointsOut(BaseModel):
    """All endpoints, oldest first; there are 20 at most."""

    data: list[EndpointOut]


class DeliveryOut(BaseModel):
    """One event for one endpoint; `id` is the `webhook-id` of every attempt."""

    id: UUID
    event: str
    state: DeliveryState
    attempts: int
    next_at: datetime | None = Field(description="The next attempt; null when it is settled.")
    response_status: int | None = Field(description="Of the last attempt; null without an answer.")
    error: str | None
    payload: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    data: list[DeliveryOut]
    page: PageOut


@router.post(
    "",
    status_code=201,
    response_model=EndpointAdded,
    responses=problems.responses(*USUAL, 409),
)
def add_webhook(body: EndpointIn, caller: Admin, services: ServicesOf, once: OnceOf) -> Response:
    """Add an endpoint. The answer holds its secret, which is not shown again."""

    def act() -> Answer:
        added = webhooks.add_endpoint(
            services.db,
            services.settings,
            owner_id=caller.owner_id,
            url=body.url,
            events=body.events,
        )
        shown = EndpointOut(**_shape(added)).model_dump(mode="json")
        return Answer(201, shown, shown_once={"secret": added.secret})

    return once(caller.owner_id, body.model_dump(mode="json"), act)


@router.get("", responses=problems.responses(*USUAL))
def list_webhooks(caller: Reader, services: ServicesOf) -> EndpointsOut:
    """All endpoints."""
    found = webhooks.list_endpoints(services.db, owner_id=caller.owner_id)
    return EndpointsOut(data=[EndpointOut(**_shape(one)) for one in found])


@router.get("/{endpoint_id}", responses=problems.responses(*USUAL, 404))
def get_webhook(endpoint_id: UUID, caller: Reader, services: ServicesOf) -> EndpointOut:
    """One endpoint."""
    found = webhooks.get_endpoint(services.db, owner_id=caller.owner_id, endpoint_id=endpoint_id)
    return EndpointOut(**_shape(found))


@router.patch("/{endpoint_id}", responses=problems.responses(*USUAL, 404))
def change_webhook(
    endpoint_id: UUID, body: EndpointChange, caller: Admin, services: ServicesOf
) -> EndpointOut:
    """Change where an endpoint is, what it is told, and whether it is told anything."""
    changed = webhooks.change_endpoint(
        services.db,
        services.settings,
        owner_id=caller.owner_id,
        endpoint_id=endpoint_id,
        url=body.url,
        events=body.events,
        enabled=body.enabled,
    )
    return EndpointOut(**_shape(changed))


@router.delete("/{endpoint_id}", status_code=204, responses=problems.responses(*USUAL, 404))
def remove_webhook(endpoint_id: UUID, caller: Admin, services: ServicesOf) -> None:
    """Remove an endpoint, its log, and what was to be sent to it."""
    webhooks.remove_endpoint(services.db, owner_id=caller.owner_id, endpoint_id=endpoint_id)


@router.post("/{endpoint_id}/rotate", responses=problems.responses(*USUAL, 404))
def rotate_webhook(endpoint_id: UUID, caller: Admin, services: ServicesOf) -> EndpointWithSecret:
    """Make a new secret. For 24 hours every webhook is signed with the old one too."""
    rotated = webhooks.rotate_secret(services.db, owner_id=caller.owner_id, endpoint_id=endpoint_id)
    return _with_secret(rotated)


@router.post("/{endpoint_id}/test", status_code=202, responses=problems.responses(*USUAL, 404, 409))
def send_test(endpoint_id: UUID, caller: Admin, services: ServicesOf) -> DeliveryOut:
    """Queue a `webhook.test`; the log says what became of it."""
    queued = webhooks.send_test(services.db, owner_id=caller.owner_id, endpoint_id=endpoint_id)
    return _delivery(queued)


@router.get("/{endpoint_id}/deliveries", responses=problems.responses(*USUAL, 400, 404, 410))
def list_deliveries(
    endpoint_id: UUID,
    caller: Reader,
    services: ServicesOf,
    limit: Limit = 20,
    page_token: PageToken = None,
) -> DeliveryPage:
    """What the endpoint was and will be told, for 30 days."""
    owner_id, of = caller.owner_id, {"endpoint": str(endpoint_id)}
    at = read_page(services, page_token, purpose=PURPOSE, owner_id=owner_id, of=of)
    found = webhooks.list_deliveries(
        services.db,
        owner_id=owner_id,
        endpoint_id=endpoint_id,
        limit=limit,
        before=None if at is None else (datetime.fromisoformat(at["created_at"]), UUID(at["id"])),
    )
    next_token = None
    if found.more:
        last = found.deliveries[-1]
        here = {"created_at": last.created_at.isoformat(), "id": str(last.id)}
        next_token = sign_page(services, purpose=PURPOSE, owner_id=owner_id, of=of, at=here)
    return DeliveryPage(
        data=[_delivery(one) for one in found.deliveries], page=PageOut(next_token=next_token)
    )


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses=problems.responses(*USUAL, 404, 409),
)
def redeliver(
    endpoint_id: UUID, delivery_id: UUID, caller: Admin, services: ServicesOf
) -> DeliveryOut:
    """Send a delivery again now, under the same `webhook-id`, and retry as for a new one."""
    queued = webhooks.redeliver(
        services.db,
        owner_id=caller.owner_id,
        endpoint_id=endpoint_id,
        delivery_id=delivery_id,
    )
    return _delivery(queued)


def _shape(one: Endpoint) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "events": list(one.events),
        "enabled": one.disabled_at is None,
        "disabled_at": one.disabled_at,
        "disabled_reason": one.disabled_reason,
        "rotated_at": one.rotated_at,
        "created_at": one.created_at,
    }


def _with_secret(one: Endpoint) -> EndpointWithSecret:
    return EndpointWithSecret(**_shape(one), secret=one.secret)


def _delivery(one: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=one.id,
        event=one.event,
        state=one.state,
        attempts=one.attempt,
        next_at=one.next_at if one.state == "pending" else None,
        response_status=one.response_status,
        error=one.error,
        payload=dict(one.payload),
        created_at=one.created_at,
        finished_at=one.finished_at,
    )

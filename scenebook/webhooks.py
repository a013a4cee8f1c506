"""Webhooks: an owner's endpoints, what they are told and when, and the signature they check.

Signatures follow the Standard Webhooks specification (github.com/standard-webhooks).
"""

from __future__ import annotations

import base64
import json
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection
from standardwebhooks import Webhook

from scenebook.addresses import allowed_hosts, check_url
from scenebook.db import scenes, videos, webhooks
from scenebook.db.engine import Database
from scenebook.db.webhooks import Claimed, Delivery, Endpoint
from scenebook.errors import Conflict, NotFound, QuotaExceeded
from scenebook.model import Video, VideoStatus
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

MAX_ENDPOINTS = 20
SECRET_BYTES = 32
# Signed with the secret from before a rotation too, for so long.
ROTATION_S = 24 * 3600
SWITCHED_OFF = "Disabled by its owner."


class Event(StrEnum):
    """What an endpoint can be told of."""

    READY = "video.ready"
    PARTIAL = "video.partial"
    FAILED = "video.failed"


EVENT_OF: Mapping[VideoStatus, Event] = {
    VideoStatus.READY: Event.READY,
    VideoStatus.PARTIAL: Event.PARTIAL,
    VideoStatus.FAILED: Event.FAILED,
}
TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """A part of an endpoint's log; `more` if there are older deliveries."""

    deliveries: Sequence[Delivery]
    more: bool


def announce(tx: Connection, *, owner_id: UUID, video_id: UUID) -> None:
    """Queue what the owner's endpoints are told of a video that has just been settled.

    Part of the transaction that settles it: the news exists if and only if the state does.
    """
    video = videos.get(tx, owner_id=owner_id, video_id=video_id)
    event = EVENT_OF.get(video.status)
    if event is None or not webhooks.is_wanted(tx, owner_id=owner_id, event=event):
        return
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for one in scenes.count_channels(
        tx, owner_id=owner_id, video_id=video_id, generation=video.generation
    ):
        counts[one.channel][one.status] = one.scenes
    payload = _payload(event, _about(video, counts), at=video.updated_at)
    webhooks.queue_event(tx, owner_id=owner_id, event=event, payload=payload)


def _about(video: Video, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """What can be searched of the video now, as `GET /v1/videos/{id}` would say."""
    return {
        "video_id": str(video.id),
        "title": video.title,
        "status": video.status,
        "reason": video.reason,
        "failed_stage": video.failed_stage,
        "generation": video.generation,
        "scene_count": video.scene_count,
        "duration_ms": video.duration_ms,
        "channels": counts,
    }


def _payload(event: str, data: Mapping[str, Any], *, at: datetime | None) -> dict[str, Any]:
    when = at or datetime.now(UTC)
    return {"type": event, "timestamp": when.astimezone(UTC).isoformat(), "data": data}


def add_endpoint(
    db: Database,
    settings: Settings,
    *,
    owner_id: UUID,
    url: str,
    events: Collection[Event] = tuple(Event),
) -> Endpoint:
    """Add an endpoint with a new secret.

    Raises InvalidInput (`url_not_allowed`, `fetch_failed`), or QuotaExceeded.
    """
    check_url(url, allow_hosts=allowed_hosts(settings))
    with db.transaction(owner_id=owner_id) as tx:
        webhooks.hold_owner(tx, owner_id=owner_id)
        if len(webhooks.endpoints(tx, owner_id=owner_id)) >= MAX_ENDPOINTS:
            raise QuotaExceeded(
                f"There are {MAX_ENDPOINTS} webhook endpoints, the most that an owner can have. "
                "Remove one that is not needed."
            )
        added = webhooks.add(
            tx, owner_id=owner_id, url=url, secret=_new_secret(), events=sorted(set(events))
        )
    log.info("webhook_endpoint_added", owner_id=str(owner_id), endpoint_id=str(added.id))
    return added


def list_endpoints(db: Database, *, owner_id: UUID) -> list[Endpoint]:
    """The owner's endpoints, oldest first."""
    with db.transaction(owner_id=owner_id) as tx:
        return webhooks.endpoints(tx, owner_id=owner_id)


def get_endpoint(db: Database, *, owner_id: UUID, endpoint_id: UUID) -> Endpoint:
    """One endpoint. Raises NotFound."""
    with db.transaction(owner_id=owner_id) as tx:
        return _endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id)


def change_endpoint(
    db: Database,
    settings: Settings,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    url: str | None = None,
    events: Collection[Event] | None = None,
    enabled: bool | None = None,
) -> Endpoint:
    """Change what is not None; a disabled endpoint that is enabled gets what waited for it.

    Raises NotFound, or InvalidInput (`url_not_allowed`, `fetch_failed`).
    """
    if url is not None:
        check_url(url, allow_hosts=allowed_hosts(settings))
    with db.transaction(owner_id=owner_id) as tx:
        webhooks.change(
            tx,
            owner_id=owner_id,
            endpoint_id=endpoint_id,
            url=url,
            events=None if events is None else sorted(set(events)),
            enabled=enabled,
            reason=SWITCHED_OFF,
        )
        return _endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id)


def rotate_secret(db: Database, *, owner_id: UUID, endpoint_id: UUID) -> Endpoint:
    """Give an endpoint a new secret; the old one signs too for 24 hours. Raises NotFound."""
    with db.transaction(owner_id=owner_id) as tx:
        webhooks.rotate(tx, owner_id=owner_id, endpoint_id=endpoint_id, secret=_new_secret())
        rotated = _endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id)
    log.info("webhook_secret_rotated", owner_id=str(owner_id), endpoint_id=str(endpoint_id))
    return rotated


def remove_endpoint(db: Database, *, owner_id: UUID, endpoint_id: UUID) -> None:
    """Remove an endpoint, its log, and what was to be sent to it. Raises NotFound."""
    with db.transaction(owner_id=owner_id) as tx:
        if not webhooks.remove(tx, owner_id=owner_id, endpoint_id=endpoint_id):
            raise _no_endpoint(endpoint_id)
    log.info("webhook_endpoint_removed", owner_id=str(owner_id), endpoint_id=str(endpoint_id))


def send_test(db: Database, *, owner_id: UUID, endpoint_id: UUID) -> Delivery:
    """Queue a `webhook.test` for an endpoint. Raises NotFound, or Conflict if it is disabled."""
    with db.transaction(owner_id=owner_id) as tx:
        _enabled(_endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id))
        delivery_id = webhooks.queue_one(
            tx,
            owner_id=owner_id,
            endpoint_id=endpoint_id,
            event=TEST,
            payload=_payload(TEST, {"endpoint_id": str(endpoint_id)}, at=None),
        )
        return _delivery(tx, owner_id=owner_id, endpoint_id=endpoint_id, delivery_id=delivery_id)


def list_deliveries(
    db: Database,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    limit: int = 20,
    before: tuple[datetime, UUID] | None = None,
) -> DeliveryPage:
    """What an endpoint was and will be told, newest first. Raises NotFound."""
    with db.transaction(owner_id=owner_id) as tx:
        _endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id)
        found = webhooks.deliveries(
            tx, owner_id=owner_id, endpoint_id=endpoint_id, limit=limit + 1, before=before
        )
    return DeliveryPage(found[:limit], len(found) > limit)


def redeliver(db: Database, *, owner_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
    """Send a delivery again now, under the same id. Raises NotFound, or Conflict if disabled."""
    which = {"owner_id": owner_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    with db.transaction(owner_id=owner_id) as tx:
        endpoint = _endpoint(tx, owner_id=owner_id, endpoint_id=endpoint_id)
        _delivery(tx, **which)
        _enabled(endpoint)
        webhooks.redeliver(tx, **which)
        return _delivery(tx, **which)


def signed(one: Claimed, *, at: datetime) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of one attempt; `at` is the time of the attempt, with a zone.

    Each secret in force gives one signature, so that a receiver may know either.
    """
    body = json.dumps(one.payload, ensure_ascii=False, separators=(",", ":"))
    at = at.astimezone(UTC)
    signatures = [Webhook(secret).sign(str(one.id), at, body) for secret in one.secrets]
    trace = {} if one.traceparent is None else {"traceparent": one.traceparent}
    return body.encode(), trace | {
        "Content-Type": "application/json",
        "webhook-id": str(one.id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _endpoint(tx: Connection, *, owner_id: UUID, endpoint_id: UUID) -> Endpoint:
    found = webhooks.endpoints(tx, owner_id=owner_id, endpoint_id=endpoint_id)
    if not found:
        raise _no_endpoint(endpoint_id)
    return found[0]


def _no_endpoint(endpoint_id: UUID) -> NotFound:
    return NotFound(f"There is no webhook endpoint {endpoint_id}. List yours to see their ids.")


def _delivery(tx: Connection, *, owner_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
    found = webhooks.deliveries(
        tx, owner_id=owner_id, endpoint_id=endpoint_id, delivery_id=delivery_id, limit=1
    )
    if not found:
        raise NotFound(f"There is no delivery {delivery_id} to this endpoint.")
    return found[0]


def _enabled(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None:
        raise Conflict("The endpoint is disabled. Enable it first.")

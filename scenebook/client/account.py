"""Webhooks and API keys of the owner, for either kind of client."""

from __future__ import annotations

from collections.abc import Sequence

from scenebook.client import bodies
from scenebook.client.models import Delivery, Endpoint, Key, NewKey
from scenebook.client.steps import Ask, Id, Items, Steps, listed, path, read, sent
from scenebook.client.transport import Operation, Series

PAGE = 100


class WebhookCalls:
    """Who is told of settled videos."""

    @Operation
    def add(self, url: str, *, events: Sequence[str] | None = None) -> Steps[Endpoint]:
        """Add an endpoint. The answer has its secret, which is not shown again."""
        ask = Ask("POST", path("webhooks"), body=bodies.of_given({"url": url, "events": events}))
        return (yield from sent(ask)).read(Endpoint)

    @Operation
    def list(self) -> Steps[tuple[Endpoint, ...]]:
        """Every endpoint."""
        body = (yield from sent(Ask("GET", path("webhooks")))).json()
        return tuple(read(Endpoint, one) for one in body["data"])

    @Operation
    def get(self, endpoint_id: Id) -> Steps[Endpoint]:
        """One endpoint."""
        return (yield from sent(Ask("GET", path("webhooks", endpoint_id)))).read(Endpoint)

    @Operation
    def change(
        self,
        endpoint_id: Id,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Steps[Endpoint]:
        """Change where an endpoint is, what it is told, and whether it is told anything."""
        body = bodies.of_given({"url": url, "events": events, "enabled": enabled})
        ask = Ask("PATCH", path("webhooks", endpoint_id), body=body, repeatable=True)
        return (yield from sent(ask)).read(Endpoint)

    @Operation
    def remove(self, endpoint_id: Id) -> Steps[None]:
        """Remove an endpoint and its log."""
        yield from sent(Ask("DELETE", path("webhooks", endpoint_id)))

    @Operation
    def rotate(self, endpoint_id: Id) -> Steps[Endpoint]:
        """Make a new secret; the old one signs too for 24 hours."""
        return (yield from sent(Ask("POST", path("webhooks", endpoint_id, "rotate")))).read(
            Endpoint
        )

    @Operation
    def test(self, endpoint_id: Id) -> Steps[Delivery]:
        """Queue a `webhook.test`."""
        return (yield from sent(Ask("POST", path("webhooks", endpoint_id, "test")))).read(Delivery)

    @Series
    def deliveries(self, endpoint_id: Id, *, page_size: int = PAGE) -> Items[Delivery]:
        """What the endpoint was and will be told, newest first."""
        ask = Ask("GET", path("webhooks", endpoint_id, "deliveries"), params={"limit": page_size})
        return listed(ask, Delivery)

    @Operation
    def redeliver(self, endpoint_id: Id, delivery_id: Id) -> Steps[Delivery]:
        """Send a delivery again now."""
        where = path("webhooks", endpoint_id, "deliveries", delivery_id, "redeliver")
        return (yield from sent(Ask("POST", where))).read(Delivery)


class KeyCalls:
    """API keys of the owner."""

    @Operation
    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_days: int | None = None,
    ) -> Steps[NewKey]:
        """Make a key; its secret is in this answer only."""
        body = bodies.of_given({"name": name, "scopes": scopes, "expires_days": expires_days})
        return (yield from sent(Ask("POST", path("keys"), body=body))).read(NewKey)

    @Operation
    def list(self) -> Steps[tuple[Key, ...]]:
        """Every key, also those that no longer work."""
        body = (yield from sent(Ask("GET", path("keys")))).json()
        return tuple(read(Key, one) for one in body["keys"])

    @Operation
    def revoke(self, key_id: Id) -> Steps[None]:
        """End a key for good."""
        yield from sent(Ask("DELETE", path("keys", key_id)))

"""`Idempotency-Key`: a request that creates something may be sent again without harm.

def make_thing(caller: Writer, asked: ThingIn, once: OnceOf) -> Response:
    return once(caller.owner_id, asked.model_dump(mode="json"), lambda: Answer(201, {...}))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, StringConstraints

from api.fields import sound
from api.shared import ServicesOf
from scenebook import idempotency
from scenebook.idempotency import Answer

REPLAYED = "Idempotency-Replayed"

Key = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(sound)]


class Once:
    """Answers one request: does it, or says again what it led to the first time."""

    def __init__(self, request: Request, services: ServicesOf, key: Key | None) -> None:
        self._request = request
        self._services = services
        self._key = key

    def __call__(self, owner_id: UUID, asked: Any, act: Callable[[], Answer]) -> JSONResponse:
        """The answer as a response; `asked` is the request's content as JSON.

        It writes to the database: call it from a `def` route or in a thread. Raises Conflict and
        InvalidInput as `idempotency.once`, and whatever `act` raises.
        """
        if self._key is None:
            return response_of(act())
        answer = idempotency.once(
            self._services.db,
            owner_id=owner_id,
            key=self._key,
            request_hash=idempotency.hash_of(self._request.method, self._request.url.path, asked),
            act=act,
            ttl_s=self._services.settings.idempotency_ttl_s,
        )
        return response_of(answer)


def once_of(
    request: Request,
    services: ServicesOf,
    key: Annotated[
        Key | None,
        Header(
            alias="Idempotency-Key",
            description="Any text, new for each request: sent again with it, it is done once.",
        ),
    ] = None,
) -> Once:
    """What a route asks for to be repeatable."""
    return Once(request, services, key)


OnceOf = Annotated[Once, Depends(once_of)]


def response_of(answer: Answer) -> JSONResponse:
    """An answer as a response."""
    headers = answer.headers | ({REPLAYED: "true"} if answer.replayed else {})
    return JSONResponse(answer.body | answer.shown_once, answer.status, headers=headers)

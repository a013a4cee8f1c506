"""Whether the process lives, is ready, and what it counts."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from api.peers import is_inside
from api.shared import ServicesOf
from scenebook.errors import NotFound

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether requests should be sent here."""

    status: Literal["ok", "degraded", "unready"]
    reasons: list[str] = Field(description="Why requests should not be sent here.")
    degraded: list[str] = Field(description="What is missing while requests are answered.")


@router.get("/livez", summary="Whether the process answers")
async def livez() -> Alive:
    """Always `ok`: it asks nobody else, so that an outage elsewhere restarts nothing."""
    return Alive()


@router.get(
    "/readyz",
    summary="Whether requests should be sent here",
    responses={503: {"model": Ready, "description": "Not now; `reasons` says why."}},
)
async def readyz(services: ServicesOf, response: Response) -> Ready:
    """503 while the database, its schema, the storage or the models are not ready.

    A broker that is away only degrades: videos wait, everything else works.
    """
    found = await asyncio.wrap_future(services.inspector.look())
    if found.unready:
        response.status_code = 503
    return Ready(
        status="unready" if found.unready else "degraded" if found.degraded else "ok",
        reasons=list(found.unready),
        degraded=list(found.degraded),
    )


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """What this process counted, for Prometheus; only inside the private network."""
    if not is_inside(request):
        # As if it were not there.
        raise NotFound("Not Found")
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

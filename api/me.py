"""Who is calling, as the service understood it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import problems
from api.caller import Anyone
from scenebook.api_keys import Scope

router = APIRouter(tags=["keys"], responses=problems.responses(401, 403, 422, 429))


class MeOut(BaseModel):
    """The owner whose things every other request is about, and what may be done with them."""

    owner_id: UUID
    scopes: list[Scope]
    operator: bool = Field(description="Whether the routes below /v1/operations answer.")


@router.get("/v1/me", summary="Who is calling")
def me(caller: Anyone) -> MeOut:
    """The owner, what this key or session may do, and whether it may see all owners' operations."""
    return MeOut.model_validate(
        {
            "owner_id": caller.owner_id,
            "scopes": sorted(caller.scopes),
            "operator": caller.may_operate,
        }
    )

"""API keys of an owner."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.caller import Admin
from api.fields import Name
from api.replays import OnceOf
from api.shared import ServicesOf
from scenebook import api_keys
from scenebook.api_keys import LONGEST_LIFE_DAYS, Scope
from scenebook.db.api_keys import ApiKey
from scenebook.idempotency import Answer

router = APIRouter(
    prefix="/v1/keys", tags=["keys"], responses=problems.responses(401, 403, 422, 429)
)


class KeyRequest(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="What the key is for.")
    scopes: Annotated[set[Scope], Field(min_length=1)] = Field(
        default={"read"},
        description="read: search and look; write: add, change and delete; admin: keys and "
        "webhooks. None includes another.",
    )
    expires_days: Annotated[int, Field(ge=1, le=LONGEST_LIFE_DAYS)] | None = Field(
        None, description="Days until it ends. None: it works until it is revoked."
    )


class KeyShown(BaseModel):
    """A key, without its secret."""

    id: UUID
    name: str
    prefix: str = Field(description="How its secret begins.")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: ApiKey) -> KeyShown:
        """A key as clients see it."""
        return cls.model_validate(
            {name: getattr(key, name) for name in KeyShown.model_fields if name != "scopes"}
            | {"scopes": sorted(key.scopes)}
        )


class KeyMade(BaseModel):
    """A new key, with the one sight of its secret."""

    key: KeyShown
    secret: str | None = Field(
        description="Send it as `Authorization: Bearer …`. It is not shown again: in a replay it "
        "is null."
    )


class KeyList(BaseModel):
    """The owner's keys, newest first."""

    keys: list[KeyShown]


@router.get("", summary="List keys")
def list_keys(caller: Admin, services: ServicesOf) -> KeyList:
    """Every key of the owner, also those that no longer work."""
    found = api_keys.list_keys(services.db, owner_id=caller.owner_id)
    return KeyList(keys=[KeyShown.of(key) for key in found])


@router.post(
    "",
    status_code=201,
    summary="Make a key",
    response_model=KeyMade,
    responses=problems.responses(409, 503),
)
def create_key(caller: Admin, services: ServicesOf, wanted: KeyRequest, once: OnceOf) -> Response:
    """The secret is in this answer only; what is kept cannot bring it back."""

    def act() -> Answer:
        made = api_keys.create_key(
            services.db,
            owner_id=caller.owner_id,
            name=wanted.name,
            scopes=wanted.scopes,
            expires_days=wanted.expires_days,
        )
        shown = {"key": KeyShown.of(made.key).model_dump(mode="json")}
        return Answer(201, shown, shown_once={"secret": made.secret})

    asked = wanted.model_dump(mode="json") | {"scopes": sorted(wanted.scopes)}
    return once(caller.owner_id, asked, act)


@router.delete(
    "/{key_id}", status_code=204, summary="Revoke a key", responses=problems.responses(404)
)
def revoke_key(caller: Admin, services: ServicesOf, key_id: UUID) -> Response:
    """It ends for good: here at once, in other processes of the service within two seconds."""
    api_keys.revoke_key(services.db, owner_id=caller.owner_id, key_id=key_id)
    services.callers.keys.clear()
    return Response(status_code=204)

"""Who is calling: every request is resolved to one owner at the door, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Request

from api.services import ServicesOf
from scenebook.errors import Forbidden, Unauthorized
from scenebook.videos import owner_from

Scope = Literal["read", "write", "admin"]
EVERYTHING: frozenset[Scope] = frozenset({"read", "write", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """An owner, and what this key or session may do; `key` tells callers of one owner apart."""

    owner_id: UUID
    scopes: frozenset[Scope]
    key: str


def caller_of(request: Request, services: ServicesOf) -> Caller:
    """The caller of a request. Raises Unauthorized."""
    if services.settings.auth_mode == "dev":
        return Caller(owner_from(services.settings.scenebook_owner), EVERYTHING, "dev")
    raise Unauthorized("Send an API key or a JWT: `Authorization: Bearer …`.")


CallerOf = Annotated[Caller, Depends(caller_of)]


def allowed(scope: Scope) -> Callable[[Caller], Caller]:
    """A dependency: the caller, if it has this scope. Raises Forbidden."""

    def check(caller: CallerOf) -> Caller:
        if scope not in caller.scopes:
            raise Forbidden(f"This key has no scope `{scope}`. Make one that has.")
        return caller

    return check


Reader = Annotated[Caller, Depends(allowed("read"))]
Writer = Annotated[Caller, Depends(allowed("write"))]
Admin = Annotated[Caller, Depends(allowed("admin"))]

"""Who is calling: every request is resolved to one owner at the door, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.bodies import limit_of
from api.peers import address_of, is_this_machine
from api.shared import Services, ServicesOf
from api.tokens import AnonymousToken
from scenebook.api_keys import SCOPES, Scope, hash_of, present_key
from scenebook.db import owners
from scenebook.errors import Forbidden, Unauthorized
from scenebook.videos import owner_from

EVERYTHING: frozenset[str] = frozenset(SCOPES)
# Supabase's clients send their project's key as `apikey` beside the session's token.
KEY_HEADERS = ("x-api-key", "apikey")


@dataclass(frozen=True, slots=True)
class Caller:
    """An owner, and what this key or session may do; `key` tells callers of one owner apart.

    `claims` are those of the session's JWT, for SQL functions that are called in its name.
    `operator`: OPERATORS lists the owner, or it is this machine under AUTH_MODE=dev.
    """

    owner_id: UUID
    scopes: frozenset[str]
    key: str
    claims: Mapping[str, Any] = field(compare=False)
    operator: bool = False

    @property
    def may_operate(self) -> bool:
        """Whether this key or session may see the operations of all owners."""
        return self.operator and "admin" in self.scopes


# For the OpenAPI page; `credentials_of` reads the headers itself, `apikey` too.
BEARER = HTTPBearer(auto_error=False, description="A Supabase JWT, or an API key.")


def caller_of(
    request: Request, services: ServicesOf, _documented: Annotated[object, Security(BEARER)] = None
) -> Caller:
    """The caller of a request, counted. Raises Unauthorized, Forbidden or RateLimited."""
    try:
        caller = _resolved(request, services)
    except Unauthorized:
        services.limiter.refused_stranger(address_of(request, services.settings))
        raise
    request.state.owner_id = str(caller.owner_id)  # for the door's log
    refuse_disabled(services, owner_id=caller.owner_id)
    allowance = services.limiter.admit(owner_id=caller.owner_id, key=caller.key)
    said = getattr(request.state, "headers", {})
    request.state.headers = said | allowance.headers()  # the door adds them to the answer
    return caller


def _resolved(request: Request, services: Services) -> Caller:
    credentials = credentials_of(request)
    anonymous: AnonymousToken | None = None
    for credential in credentials:
        try:
            return _caller(credential, request, services)
        except AnonymousToken as error:  # another header may say who it is
            anonymous = error
    if anonymous is not None:
        raise anonymous
    if services.settings.auth_mode == "dev" and is_this_machine(request):
        owner_id = owner_from(services.settings.scenebook_owner)
        return Caller(owner_id, EVERYTHING, "dev", _claims_of(owner_id), operator=True)
    raise Unauthorized("Send an API key or a JWT: `Authorization: Bearer …`.")


def credentials_of(request: Request) -> list[str]:
    """Keys and tokens of a request, the session's first. Raises Unauthorized if unreadable."""
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise Unauthorized("There are several Authorization headers. Send one.")
    credentials = []
    for line in given:
        scheme, _, credential = line.strip().partition(" ")
        if scheme.lower() != "bearer" or not credential.strip():
            raise Unauthorized("The Authorization header must read `Bearer`, then a key or token.")
        credentials.append(credential.strip())
    for name in KEY_HEADERS:
        credentials += [key.strip() for key in request.headers.getlist(name) if key.strip()]
    return list(dict.fromkeys(credentials))


def _caller(credential: str, request: Request, services: Services) -> Caller:
    if credential.startswith("sb_publishable_"):
        raise AnonymousToken("This is a publishable key: nobody is signed in. Sign in first.")
    if credential.startswith("sbk_"):
        return _by_key(credential, request, services)
    claims = services.tokens.claims(credential)
    session = f"{claims['sub']}/{claims.get('session_id') or ''}"
    owner_id = UUID(claims["sub"])
    return Caller(
        owner_id=owner_id,
        scopes=EVERYTHING,
        key=f"jwt-{hashlib.sha256(session.encode(errors='replace')).hexdigest()[:16]}",
        claims=claims,
        operator=owner_id in services.operators,
    )


def _by_key(secret: str, request: Request, services: Services) -> Caller:
    def ask() -> Any:
        services.limiter.greet_stranger(address_of(request, services.settings))
        return present_key(services.db, secret=secret)

    key = services.callers.keys.get(hash_of(secret), ask)
    return Caller(
        owner_id=key.owner_id,
        scopes=key.scopes,
        key=f"key-{key.id}",
        claims=_claims_of(key.owner_id),
        operator=key.owner_id in services.operators,
    )


def _claims_of(owner_id: UUID) -> dict[str, str]:
    return {"sub": str(owner_id), "role": "authenticated", "aud": "authenticated"}


def refuse_disabled(services: Services, *, owner_id: UUID) -> None:
    """Raises Forbidden for an owner who is disabled."""
    if services.callers.disabled.get(owner_id, lambda: _is_disabled(services, owner_id)):
        raise Forbidden("This owner is disabled.", code="owner_disabled")


def _is_disabled(services: Services, owner_id: UUID) -> bool:
    with services.db.transaction(owner_id=owner_id) as tx:
        return owners.is_disabled(tx, owner_id=owner_id)


CallerOf = Annotated[Caller, Depends(caller_of)]


def with_scope(caller: Caller, scope: Scope) -> Caller:
    """The caller, if it has this scope. Raises Forbidden."""
    if scope not in caller.scopes:
        raise Forbidden(
            f"This key has no scope `{scope}`. Make one that has.", code="scope_missing"
        )
    return caller


def allowed(scope: Scope | None) -> Callable[..., AsyncIterator[Caller]]:
    """A dependency: the caller, if it has this scope or any, in its place until it is answered.

    It raises Forbidden, or RateLimited for more at once than an owner may have.
    """

    async def check(
        request: Request, caller: CallerOf, services: ServicesOf
    ) -> AsyncIterator[Caller]:
        # Here, on the event loop: what a thread of the pool binds, the endpoint's does not see.
        structlog.contextvars.bind_contextvars(owner_id=str(caller.owner_id))
        if scope is not None:
            with_scope(caller, scope)
        if limit_of(request.scope.get("endpoint"), services.settings) is None:
            with services.shares.place("uploads", owner_id=caller.owner_id) as turns:
                request.state.turns = turns
                yield caller
            return
        async with services.shares.turn(owner_id=caller.owner_id):
            yield caller

    return check


Anyone = Annotated[Caller, Depends(allowed(None))]
Reader = Annotated[Caller, Depends(allowed("read"))]
Writer = Annotated[Caller, Depends(allowed("write"))]
Admin = Annotated[Caller, Depends(allowed("admin"))]


async def operating(caller: Admin) -> Caller:
    """A dependency: the caller, if it may see the operations of all owners. Raises Forbidden."""
    if not caller.may_operate:
        raise Forbidden(
            "This is about all owners, and for operators only. Whoever runs the service names them "
            "in OPERATORS.",
            code="not_an_operator",
        )
    return caller


Operator = Annotated[Caller, Depends(operating)]

"""API keys: secrets that act for one owner, within scopes, until they expire or are revoked."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

import structlog

from scenebook.db import api_keys as rows
from scenebook.db.api_keys import ApiKey
from scenebook.db.engine import Database
from scenebook.errors import InvalidInput, QuotaExceeded, ScenebookError, Unauthorized

log = structlog.get_logger(__name__)

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
LONGEST_NAME = 100
LONGEST_LIFE_DAYS = 3650
MOST_KEYS = 100
MOST_LISTED = 1000

# The prefix is shown in lists, and says in a leak whose key it is; 32 letters are 190 bits.
PREFIX_LETTERS = 8
SECRET_LETTERS = 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
LOOKS_LIKE_A_KEY = re.compile(
    rf"sbk_[A-Za-z0-9]{{{PREFIX_LETTERS}}}_[A-Za-z0-9]{{{SECRET_LETTERS}}}"
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; the secret is not kept and cannot be shown again."""

    key: ApiKey
    secret: str


def create_key(
    db: Database,
    *,
    owner_id: UUID,
    name: str,
    scopes: Collection[str] = ("read",),
    expires_days: int | None = None,
) -> NewKey:
    """Make a key. Raises InvalidInput, or QuotaExceeded when the owner has 100 that work."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or "\0" in name:
        raise InvalidInput(f"A key's name has 1 to {LONGEST_NAME} characters.")
    if not scopes or (unknown := set(scopes) - set(SCOPES)):
        what = f"There is no scope {sorted(unknown)[0]!r}." if scopes else "A key needs a scope."
        raise InvalidInput(f"{what} Scopes are {', '.join(SCOPES)}.")
    if expires_days is not None and not 1 <= expires_days <= LONGEST_LIFE_DAYS:
        raise InvalidInput(f"A key lives 1 to {LONGEST_LIFE_DAYS} days, or without an end.")
    prefix = f"sbk_{_letters(PREFIX_LETTERS)}"
    secret = f"{prefix}_{_letters(SECRET_LETTERS)}"
    with db.transaction(owner_id=owner_id) as tx:
        if rows.usable(tx, owner_id=owner_id) >= MOST_KEYS:
            raise QuotaExceeded(f"There are {MOST_KEYS} keys already. Revoke one first.")
        key = rows.add(
            tx,
            owner_id=owner_id,
            name=name,
            prefix=prefix,
            secret_hash=hash_of(secret),
            scopes=set(scopes),
            expires_days=expires_days,
        )
    log.info("api_key_created", owner_id=str(owner_id), key_id=str(key.id), prefix=prefix)
    return NewKey(key, secret)


def list_keys(db: Database, *, owner_id: UUID) -> list[ApiKey]:
    """The owner's keys, newest first, also those that were revoked."""
    with db.transaction(owner_id=owner_id) as tx:
        return rows.all_of(tx, owner_id=owner_id, at_most=MOST_LISTED)


def revoke_key(db: Database, *, owner_id: UUID, key_id: UUID) -> ApiKey:
    """End a key for good; revoking twice is fine. Raises NotFound."""
    with db.transaction(owner_id=owner_id) as tx:
        key = rows.revoke(tx, owner_id=owner_id, key_id=key_id)
    log.info("api_key_revoked", owner_id=str(owner_id), key_id=str(key_id), prefix=key.prefix)
    return key


def present_key(db: Database, *, secret: str) -> ApiKey:
    """The key that has this secret. Raises Unauthorized if none has, or it no longer works.

    It is found by its hash, so no comparison takes longer for a secret that is nearly right.
    """
    if not LOOKS_LIKE_A_KEY.fullmatch(secret):
        raise _unknown()
    with db.across_owners() as tx:
        key = rows.presented(tx, secret_hash=hash_of(secret))
    if key is None:
        raise _unknown()
    if key.revoked_at is not None:
        raise Unauthorized("This API key was revoked.", code="key_revoked")
    if key.expired:
        raise Unauthorized("This API key has expired. Make another one.", code="key_expired")
    _note_use(db, key)
    return key


def hash_of(secret: str) -> str:
    """What is stored of a secret. It is too long to be guessed, so a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _note_use(db: Database, key: ApiKey) -> None:
    try:
        with db.transaction(owner_id=key.owner_id) as tx:
            rows.used(tx, owner_id=key.owner_id, key_id=key.id)
    except ScenebookError as error:  # a note is not worth a request
        log.warning("key_use_not_noted", key_id=str(key.id), error=str(error))


def _unknown() -> Unauthorized:
    return Unauthorized("There is no such API key.", code="invalid_key")


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))

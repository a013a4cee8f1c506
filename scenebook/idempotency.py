"""Requests that may be sent again: the first is done, the others get its answer.

Only success is remembered. A request that fails gives its key back; one that dies loses it when
its lock ends. The owner comes first: the same key of another owner is another key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from scenebook.db import idempotency
from scenebook.db.engine import Database
from scenebook.errors import Conflict, InvalidInput

# Longer than storing a large source takes; after it a request counts as dead.
LOCK_S = 120.0
AGAIN_S = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request led to; the body is JSON.

    `shown_once` are keys of the body that are kept nowhere, as a new secret: a replay has null.
    """

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    shown_once: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False


def hash_of(method: str, path: str, asked: Any) -> str:
    """Which request this is; `asked` is what it says, as JSON, large files as their hashes."""
    text = json.dumps([method, path, asked], sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def once(
    db: Database,
    *,
    owner_id: UUID,
    key: str,
    request_hash: str,
    act: Callable[[], Answer],
    ttl_s: float,
    lock_s: float = LOCK_S,
) -> Answer:
    """Do what is asked once a key, or answer as the first time.

    Raises Conflict (`request_in_progress`) while the first request runs, and InvalidInput
    (`idempotency_key_reused`) if the key came with another request.
    """
    with db.transaction(owner_id=owner_id) as tx:
        locked_until = idempotency.claim(
            tx, owner_id=owner_id, key=key, request_hash=request_hash, lock_s=lock_s, ttl_s=ttl_s
        )
        known = None
        if locked_until is None:
            known = idempotency.get(tx, owner_id=owner_id, key=key)
    if locked_until is None:
        return _known(known, request_hash)
    try:
        answer = act()
    except BaseException:
        with db.transaction(owner_id=owner_id) as tx:
            idempotency.release(tx, owner_id=owner_id, key=key, locked_until=locked_until)
        raise
    with db.transaction(owner_id=owner_id) as tx:
        idempotency.finish(
            tx,
            owner_id=owner_id,
            key=key,
            locked_until=locked_until,
            status=answer.status,
            response={
                "body": answer.body | dict.fromkeys(answer.shown_once),
                "headers": answer.headers,
            },
        )
    return answer


def _known(known: idempotency.Remembered | None, request_hash: str) -> Answer:
    if known is not None and known.request_hash != request_hash:
        raise InvalidInput(
            "This Idempotency-Key came with another request before. Use a new key for each.",
            code="idempotency_key_reused",
        )
    if known is None or known.status is None or known.response is None:
        busy = Conflict(
            "The first request with this Idempotency-Key is still being done. Try again soon.",
            code="request_in_progress",
        )
        busy.retry_after_s = AGAIN_S
        raise busy
    return Answer(known.status, known.response["body"], known.response["headers"], replayed=True)

"""What a call does, without doing it: requests, pauses and lines, for either kind of client.

A call is a generator. It yields steps and gets what came of each, so that one text says what
happens for `Scenebook` and for `AsyncScenebook`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import UUID

from scenebook.client.bodies import Body
from scenebook.client.errors import ApiError, RateLimited, Unavailable, error_of
from scenebook.client.models import Answer

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

Id: TypeAlias = UUID | str

REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
KEY = "Idempotency-Key"
# The answer to a request that is sent again while the first one is still being done.
IN_PROGRESS = "request_in_progress"
MOST_REPEATS = 5
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request and read the whole answer; gets a Reply, or Unreachable.

    repeatable: whether it may be sent twice; by default if nothing changes, or an Idempotency-Key
    makes it harmless.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        if self.repeatable is not None:
            return self.repeatable
        return self.method in REPEATABLE or KEY in self.headers

    def query(self) -> dict[str, str]:
        """The parameters as texts, without those that are None."""
        return {name: _text(one) for name, one in self.params.items() if one is not None}


@dataclass(frozen=True, slots=True)
class Listen:
    """Send a request and leave its answer open; gets a Reply without content.

    silence_s: an answer that is silent for longer counts as broken.
    """

    ask: Ask
    silence_s: float


@dataclass(frozen=True, slots=True)
class NextLine:
    """Read a line of what is listened to; gets None at its end, or Unreachable."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; gets None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Hand an item to whoever iterates; gets None."""

    item: T


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    def json(self) -> Any:
        """The body as JSON. Raises ApiError if it is none: another program answered."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise ApiError(
                self.status, "not_json", "The answer is no JSON. Does the URL lead to Scenebook?"
            ) from None

    def read(self, model: type[A]) -> A:
        """The body as one of our models. Raises ApiError if it does not look like one."""
        return read(model, self.json())

    def error(self) -> ApiError:
        """The error that this answer is."""
        try:
            body = json.loads(self.content)
        except ValueError:
            body = None
        return error_of(
            self.status,
            body,
            request_id=self.headers.get("x-request-id"),
            retry_after=self.headers.get("retry-after"),
        )


Step: TypeAlias = Ask | Listen | NextLine | Pause | Found[Any]
Steps: TypeAlias = Generator[Step, Any, T]
Items: TypeAlias = Generator[Ask | Listen | NextLine | Pause | Found[T], Any, None]


def read(model: type[A], content: Any) -> A:
    """JSON as one of our models. Raises ApiError if it does not look like one."""
    try:
        return model.model_validate(content)
    except ValueError as error:
        raise ApiError(
            502, "unexpected_answer", f"The answer is no {model.__name__} as expected: {error}"
        ) from None


def path(*parts: Id) -> str:
    """A path below /v1; what is no word of ours cannot leave its place in it."""
    return "/v1/" + "/".join(quote(str(one), safe="") for one in parts)


def once(ask: Ask) -> Steps[Reply]:
    """One request, not repeated. Raises ApiError for every answer that is an error."""
    reply: Reply = yield ask
    if reply.status >= 300:
        raise reply.error()
    return reply


def sent(ask: Ask) -> Steps[Reply]:
    """One request, repeated with growing pauses where that is harmless. Raises ApiError."""
    repeats = 0
    while True:
        try:
            return (yield from once(ask))
        except ApiError as error:
            wait_s = pause_s(error, repeats)
            if not ask.may_repeat or wait_s is None:
                raise
        repeats += 1
        yield Pause(wait_s)


def pause_s(
    error: ApiError, repeats: int, *, passing: Collection[int] = frozenset()
) -> float | None:
    """Seconds until a request that failed may be repeated; None if that is of no use.

    passing: statuses that are worth another try besides 429 and 503.
    """
    passes = isinstance(error, RateLimited | Unavailable) or error.code == IN_PROGRESS
    if repeats >= MOST_REPEATS or not (passes or error.status in passing):
        return None
    if error.retry_after_s is not None:
        # A longer wait is for the caller to decide about.
        return error.retry_after_s if error.retry_after_s <= LONGEST_PAUSE_S else None
    # Clients that failed together shall not come back together.
    return float(FIRST_PAUSE_S * 2**repeats * random.uniform(0.5, 1.5))


def listed(ask: Ask, model: type[A]) -> Items[A]:
    """Every item of a list, page by page as they are asked for."""
    token: str | None = None
    while True:
        asked = replace(ask, params={**ask.params, "page_token": token})
        body = (yield from sent(asked)).json()
        for one in body["data"]:
            yield Found(read(model, one))
        token = body["page"]["next_token"]
        if token is None:
            return


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

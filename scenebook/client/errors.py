"""What the service refuses, as errors of `scenebook.errors` that know the answer they came with."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from scenebook import errors


class ApiError(errors.ScenebookError):
    """An answer that is an error: `detail` says what is wrong and what to do.

    Programs may depend on `status` and `code`; `request_id` finds the request in the server's log.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail, code=code)
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidInput(ApiError, errors.InvalidInput):
    """The request is not valid."""


class Unauthorized(ApiError, errors.Unauthorized):
    """The key or token is missing or not valid."""


class Forbidden(ApiError, errors.Forbidden):
    """The key or token does not allow this."""


class NotFound(ApiError, errors.NotFound):
    """There is no such thing for this owner."""


class Conflict(ApiError, errors.Conflict):
    """The thing is in a state that does not allow it."""


class Expired(ApiError, errors.Expired):
    """A page token or an upload was valid once."""


class TooLarge(ApiError, errors.TooLarge):
    """The body or file is larger than the limit."""


class QuotaExceeded(ApiError, errors.QuotaExceeded):
    """The owner's limit is reached."""


class RateLimited(ApiError, errors.RateLimited):
    """Too many requests; come again later."""


class Unavailable(ApiError, errors.Unavailable):
    """The service cannot do it now."""


class Unreachable(Unavailable):
    """The service gave no answer."""

    def __init__(self, why: str) -> None:
        super().__init__(503, "unreachable", why)


class TimedOut(ApiError, errors.DeadlineExceeded):
    """The service took longer than its own time bound."""


KINDS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: TooLarge,
    429: RateLimited,
    503: Unavailable,
    504: TimedOut,
}


def error_of(
    status: int, body: object, *, request_id: str | None, retry_after: str | None
) -> ApiError:
    """The error that an answer stands for; `body` is its JSON, or None where it is none."""
    said = body if isinstance(body, Mapping) else {}
    code = str(said.get("code") or f"http_{status}")
    # Functions answer as PostgREST does, with a `message`.
    detail = said.get("detail") or said.get("message") or _phrase(status)
    kind = KINDS.get(status, InvalidInput if 400 <= status < 500 else ApiError)
    if code == errors.QuotaExceeded.code:
        kind = QuotaExceeded
    wait = int(retry_after) if retry_after and retry_after.isdecimal() else None
    return kind(status, code, str(detail), request_id=request_id, retry_after_s=wait)


def _phrase(status: int) -> str:
    try:
        return f"The service answered {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"The service answered {status}."

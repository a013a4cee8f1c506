"""Errors as problem details (RFC 9457): every one has a stable code and says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from scenebook.errors import ConfigurationError, OutOfReach, ScenebookError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
NOT_NOW = "The service cannot answer this now. Come again in a moment."
RETRY_AFTER_S = 2


class Problem(BaseModel):
    """What went wrong, for programs (`code`) and for people (`detail`)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="Stable: programs may depend on it.")
    detail: str = Field(description="What is wrong, and what to do.")
    errors: list[dict[str, Any]] | None = Field(None, description="Where a body is not valid.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error statuses, for a route's `responses`."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": TITLES.get(status, "An error."), "content": content}
        for status in statuses
    }


TITLES: Mapping[int, str] = {
    400: "The request is malformed.",
    401: "Nobody is signed in.",
    403: "This is not allowed.",
    404: "There is no such thing.",
    405: "The method is not allowed.",
    408: "The body did not arrive in time.",
    409: "The current state does not allow this.",
    410: "It has expired.",
    411: "The length is missing.",
    412: "A precondition is not met.",
    413: "It is too large.",
    414: "The URL is too long.",
    415: "The media type is not supported.",
    416: "The range is not satisfiable.",
    422: "The input is not valid.",
    429: "Too many requests, or a limit is reached.",
    431: "The headers are too large.",
    500: "An unexpected error.",
    503: "It cannot be done now.",
    504: "It took too long.",
}

# Of what the framework refuses before a route of ours is asked.
CODES: Mapping[int, str] = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    """One problem as a response."""
    body = Problem(
        title=TITLES.get(status, "An error.").rstrip("."),
        status=status,
        code=code,
        detail=_printable(detail),
        errors=errors,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem that the door answers before any route does."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] | None = None

    def response(self) -> JSONResponse:
        """It as a response."""
        return problem(self.status, self.code, self.detail, headers=self.headers)


def install(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""
    app.add_exception_handler(ScenebookError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ScenebookError)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, error=str(error))
    headers = {}
    if error.status in (429, 503) or error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s or RETRY_AFTER_S)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.status, error.code, said_of(error), headers=headers)


def said_of(error: ScenebookError) -> str:
    """What a caller is told of an error of ours."""
    # How the operator can mend it is in the log, and no business of whoever calls.
    return NOT_NOW if isinstance(error, OutOfReach | ConfigurationError) else str(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without the input: it may be large, secret, or not representable.
    errors = [
        {"at": _printable(".".join(map(str, one["loc"])))[:300], "message": _printable(one["msg"])}
        for one in error.errors()[:20]
    ]
    where = "; ".join(f"{one['at']}: {one['message']}" for one in errors[:3])
    return problem(422, "invalid_input", f"The request is not valid: {where}.", errors=errors)


def _printable(text: str) -> str:
    # A field's name is the client's too, and may hold half of a surrogate pair.
    return text.encode("utf-8", "backslashreplace").decode()


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "http_error")
    return problem(error.status_code, code, str(error.detail), headers=error.headers)


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    log.error("request_broke", exc_info=error)
    return problem(500, "internal", "An unexpected error. The log says more, by the request id.")

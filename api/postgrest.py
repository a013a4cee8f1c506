"""PostgREST's conventions for our SQL functions, so that Supabase's clients can call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, overload

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from api import problems
from api.caller import Caller, Reader
from api.postgrest_query import (
    ARRAY,
    OBJECT,
    check_schema,
    no_filter,
    shape_of,
    unreserved,
    wanted_of,
    wants_count,
)
from api.shared import Services, ServicesOf
from scenebook.errors import ScenebookError
from scenebook.public_functions import CallRefused, PublicFunction
from scenebook.rpc import Answer, Arguments, Shape, call

log = structlog.get_logger(__name__)

CHARSET = "; charset=utf-8"
MAX_SAID = 1000
# PostgREST's codes for the errors of our doors that it has a word for.
CODES = {
    "unauthorized": "PGRST302",
    "not_signed_in": "PGRST302",
    "invalid_token": "PGRST301",
    "token_expired": "PGRST303",
}


class PostgrestError(BaseModel):
    """What went wrong, in PostgREST's form."""

    code: str = Field(description="PostgREST's code (PGRST…), or Postgres' SQLSTATE.")
    message: str = Field(description="What is wrong.")
    details: str | None = Field(description="More of it.")
    hint: str | None = Field(description="What to do.")


class PostgrestRoute(APIRoute):
    """A route whose errors have PostgREST's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors as answers."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except ScenebookError as error:
                return _refusal(error)

        return answer


router = APIRouter(prefix="/rest/v1", tags=["postgrest"], route_class=PostgrestRoute)


async def body_of(request: Request) -> bytes:
    """The whole body; the door bounds it."""
    return await request.body()


Body = Annotated[bytes, Depends(body_of)]

_ERROR = {ARRAY: {"schema": PostgrestError.model_json_schema()}}
_ROWS: dict[str, Any] = {
    ARRAY: {"schema": {"type": "array", "items": {"type": "object"}}},
    OBJECT: {"schema": {"type": "object"}},
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The rows, or the one row that was asked for.", "content": _ROWS},
    206: {"description": "Some of the rows that were counted.", "content": _ROWS},
    **problems.responses(400, 401, 403, 404, 405, 406, 409, 413, 415, 416, 429, 503, 504),
}
for _status, _one in _RESPONSES.items():
    if _status not in (200, 206):
        _one["content"] = _one["content"] | _ERROR


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_PARAMETERS = [
    {
        "name": "function",
        "in": "path",
        "required": True,
        "description": "A public SQL function; docs/sql.md describes each.",
        "schema": {"type": "string"},
        "example": "search_scenes_by_visual_clip_embedding",
    },
    _parameter("select", "Columns, as `scene_id,score:similarity`.", type="string"),
    _parameter("order", "As `similarity.desc.nullslast,scene_id`.", type="string"),
    _parameter("limit", "At most this many rows.", type="integer", minimum=0, maximum=10**15 - 1),
    _parameter("offset", "Rows to leave out.", type="integer", minimum=0, maximum=10**15 - 1),
]
_ARGUMENTS = {
    "requestBody": {
        "description": "The arguments by name.",
        "content": {ARRAY: {"schema": {"type": "object"}}},
    }
}


@router.post(
    "/rpc/{function}",
    summary="Call a public SQL function",
    responses=_RESPONSES,
    openapi_extra={"parameters": _PARAMETERS} | _ARGUMENTS,
)
def post_rpc(request: Request, services: ServicesOf, caller: Reader, body: Body) -> Response:
    """As PostgREST does it, for the `rpc()` of Supabase's clients.

    Column filters, embedded resources, CSV and plans are refused.
    """
    check_schema(request.headers)
    for name, value in unreserved(request.query_params).items():
        raise no_filter(name, value)
    arguments = _posted(request, body)
    function = services.functions.find(request.path_params["function"], arguments.names)
    return _answer(request, services, caller, function, arguments)


@router.get(
    "/rpc/{function}",
    summary="Call a public SQL function that only reads",
    responses=_RESPONSES,
    openapi_extra={"parameters": _PARAMETERS},
)
@router.head("/rpc/{function}", include_in_schema=False)
def get_rpc(request: Request, services: ServicesOf, caller: Reader) -> Response:
    """As `POST`, with the arguments as query parameters."""
    check_schema(request.headers)
    name = request.path_params["function"]
    known = services.functions.all().get(name)
    given = unreserved(request.query_params, known.arguments if known else ())
    function = services.functions.find(name, given)
    if not function.read_only:
        raise CallRefused(405, "PGRST101", f"{name} writes: call it with POST")
    arguments = Arguments(tuple(given), texts=tuple(given.values()))
    return _answer(request, services, caller, function, arguments)


@router.api_route(
    "/{rest:path}",
    methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    include_in_schema=False,
)
async def anything_else(request: Request, _caller: Reader, rest: str) -> Response:
    """Tables, and methods that functions do not have: what PostgREST says without them."""
    kind, _, name = rest.partition("/")
    if kind == "rpc" and name and "/" not in name:
        raise CallRefused(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    if not rest or "/" in rest:
        raise CallRefused(404, "PGRST125", "Invalid path specified in request URL")
    raise CallRefused(
        404,
        "PGRST205",
        f"Could not find the table 'public.{rest[:100]}' in the schema cache",
        hint="Only functions are served here, below /rest/v1/rpc/; videos are below /v1/videos.",
    )


def _posted(request: Request, body: bytes) -> Arguments:
    """The arguments of a body. Raises CallRefused."""
    if not body.strip():
        return Arguments(())
    kind = request.headers.get("content-type", ARRAY).partition(";")[0].strip().lower()
    if kind != ARRAY:
        raise CallRefused(
            415, "PGRST107", f"Content-Type not acceptable: {kind[:100]}", hint=f"Send {ARRAY}."
        )
    try:
        text = body.decode("utf-8")
        given = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise CallRefused(400, "PGRST102", "Empty or invalid json") from None
    if not isinstance(given, dict):
        raise CallRefused(
            400, "PGRST102", "Empty or invalid json", hint="Send an object: arguments by name."
        )
    return Arguments(tuple(given), object=text)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _answer(
    request: Request,
    services: Services,
    caller: Caller,
    function: PublicFunction,
    arguments: Arguments,
) -> Response:
    wanted = wanted_of(request.headers)
    counted = wants_count(request.headers)
    shape = shape_of(request.query_params, request.headers, strip_nulls=wanted.strip_nulls)
    answer = call(
        services.db,
        owner_id=caller.owner_id,
        claims=caller.claims,
        function=function,
        arguments=arguments,
        shape=shape,
    )
    if wanted.single and answer.rows != 1:
        raise CallRefused(
            406,
            "PGRST116",
            "Cannot coerce the result to a single JSON object",
            details=f"The result contains {answer.rows} rows",
        )
    headers = {"Content-Range": _content_range(answer, shape, counted=counted)}
    if counted:
        headers["Preference-Applied"] = "count=exact"
        if shape.offset > answer.total:
            raise CallRefused(
                416,
                "PGRST103",
                "Requested range not satisfiable",
                details=f"An offset of {shape.offset} was requested, but there are only "
                f"{answer.total} rows.",
            )
    return Response(
        # An array of one object, without its brackets.
        answer.body[1:-1] if wanted.single else answer.body,
        206 if counted and answer.rows < answer.total else 200,
        headers,
        media_type=wanted.media_type + CHARSET,
    )


def _content_range(answer: Answer, shape: Shape, *, counted: bool) -> str:
    rows = f"{shape.offset}-{shape.offset + answer.rows - 1}" if answer.rows else "*"
    return f"{rows}/{answer.total if counted else '*'}"


def _refusal(error: ScenebookError) -> Response:
    """The error in PostgREST's form, with the headers that its status calls for."""
    code = CODES.get(error.code, error.code)
    message = "JWT expired" if code == "PGRST303" else _printable(problems.said_of(error))
    content = PostgrestError(
        code=code,
        message=message,
        details=_printable(getattr(error, "details", None)),
        hint=_printable(getattr(error, "hint", None)),
    )
    # A HEAD has no body: there the clients read the code here.
    headers = {"Proxy-Status": f"PostgREST; error={code}"}
    if error.status == 401 and code == "PGRST302":
        headers["WWW-Authenticate"] = "Bearer"
    elif error.status == 401:
        said = message.replace('"', "'").encode("ascii", "replace").decode()
        headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{said}"'
    elif error.status == 405:
        headers["Allow"] = "GET, HEAD, POST"
    if error.status in (429, 503) or error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s or problems.RETRY_AFTER_S)
    if error.status >= 500:
        log.warning("request_failed", code=code, error=str(error))
    return JSONResponse(content.model_dump(), error.status, headers, media_type=ARRAY + CHARSET)


@overload
def _printable(text: str) -> str: ...
@overload
def _printable(text: None) -> None: ...
def _printable(text: str | None) -> str | None:
    # Names in it may be the client's: long, or with half of a surrogate pair.
    return text and text[:MAX_SAID].encode("utf-8", "backslashreplace").decode()

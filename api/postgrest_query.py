"""Reads what PostgREST's clients write in query strings and headers: columns, order, pages."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams

from scenebook.public_functions import CallRefused
from scenebook.rpc import MAX_ROWS, Column, Order, Shape

RESERVED = frozenset({"select", "order", "limit", "offset"})
# What a column is compared with: `gt.0.5`, `not.in.(1,2)`, `fts(english).word`.
FILTER = re.compile(
    r"(not\.)?(eq|neq|gt|gte|lt|lte|like|ilike|match|imatch|in|is|isdistinct|fts|plfts|phfts|wfts"
    r"|cs|cd|ov|sl|sr|nxr|nxl|adj)(\([^)]*\))?\."
)
LOGIC = frozenset({"and", "or", "not.and", "not.or"})
COLUMN = re.compile(
    r'(?:(?P<alias>[A-Za-z_]\w{0,62}):(?!:))?(?P<quote>"?)(?P<column>\w{1,63})(?P=quote)'
    r"(?:::(?P<cast>[A-Za-z]\w{0,62}))?",
    re.ASCII,
)
ORDER = re.compile(
    r'(?P<quote>"?)(?P<column>\w{1,63})(?P=quote)(?:\.(?P<way>asc|desc))?'
    r"(?:\.(?P<nulls>nullsfirst|nullslast))?",
    re.ASCII,
)
WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
RANGE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})?", re.ASCII)

ARRAY = "application/json"
OBJECT = "application/vnd.pgrst.object+json"
ACCEPTED = {
    "*/*": ARRAY,
    "application/*": ARRAY,
    ARRAY: ARRAY,
    "application/vnd.pgrst.array+json": ARRAY,
    "application/vnd.pgrst.array": ARRAY,
    OBJECT: OBJECT,
    "application/vnd.pgrst.object": OBJECT,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The answer's form: one object or an array, without its nulls perhaps."""

    media_type: str
    strip_nulls: bool

    @property
    def single(self) -> bool:
        """Whether exactly one row is wanted, as an object."""
        return self.media_type == OBJECT


def wanted_of(headers: Headers) -> Wanted:
    """The first form in `Accept` that there is. Raises CallRefused (406)."""
    accept = headers.get("accept") or "*/*"
    ranked = sorted(
        (part for part in accept.split(",") if part.strip()),
        key=lambda part: -_quality(part),
    )
    for part in ranked:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in ACCEPTED:
            return Wanted(ACCEPTED[name], "nulls=stripped" in parameters)
    raise CallRefused(
        406,
        "PGRST107",
        f"None of these media types are available: {accept}",
        hint=f"Accept {ARRAY} or {OBJECT}.",
    )


def wants_count(headers: Headers) -> bool:
    """Whether `Prefer` asks for the number of all rows. Raises CallRefused."""
    preferences = {
        part.strip().lower() for value in headers.getlist("prefer") for part in value.split(",")
    }
    if "params=single-object" in preferences:
        raise CallRefused(
            400,
            "PGRST122",
            "Invalid preferences given: params=single-object",
            hint="Send the arguments by their names.",
        )
    # The functions give few rows, so that counting them costs nothing: every count is exact.
    return not preferences.isdisjoint({"count=exact", "count=planned", "count=estimated"})


def check_schema(headers: Headers) -> None:
    """Refuse every schema but public. Raises CallRefused (406)."""
    for name in ("accept-profile", "content-profile"):
        schema = headers.get(name, "public")
        if schema != "public":
            raise CallRefused(
                406,
                "PGRST106",
                f"Invalid schema: {schema}",
                hint="Only the following schemas are exposed: public",
            )


def shape_of(query: QueryParams, headers: Headers, *, strip_nulls: bool) -> Shape:
    """The columns and rows that a request asks for. Raises CallRefused."""
    first, last = _range(headers.get("range"))
    offset = _whole("offset", query.get("offset"), 0)
    limit = _whole("limit", query.get("limit"), MAX_ROWS)
    first = max(first, offset)
    last = min(last, offset + limit - 1, first + MAX_ROWS - 1)
    return Shape(
        columns=_columns(query.get("select", "")),
        order=_orders(query.get("order", "")),
        limit=max(0, last - first + 1),
        offset=first,
        strip_nulls=strip_nulls,
    )


def unreserved(query: QueryParams, arguments: Collection[str] = ()) -> dict[str, str]:
    """The parameters that may be arguments. Raises CallRefused for filters and embeds.

    arguments: the function's own; their values may look like a filter.
    """
    rest = {}
    for name, value in query.multi_items():
        if name in RESERVED:
            continue
        if name not in arguments:
            embedded, _, last = name.rpartition(".")
            if last in RESERVED:
                raise CallRefused(
                    400,
                    "PGRST108",
                    f"'{embedded[:100]}' is not an embedded resource in this request",
                    hint="Functions' rows have no embedded resources.",
                )
            if name in LOGIC or FILTER.match(value):
                raise no_filter(name, value)
        rest[name] = value
    return rest


def no_filter(name: str, value: str) -> CallRefused:
    """What to say of `similarity=gt.0.5`."""
    return CallRefused(
        400,
        "PGRST100",
        f'"failed to parse filter ({name[:100]}={value[:100]})" (line 1, column 1)',
        details="Column filters are not supported on these functions.",
        hint="Filter with the function's own arguments, as match_threshold and filter_video_id.",
    )


def _columns(select: str) -> tuple[Column, ...]:
    if embedded := re.search(r"([^,()]*)\(", select):
        raise _no_embedding(embedded[1].strip())
    columns: list[Column] = []
    for part in _parts(select):
        if part == "*":
            continue
        found = COLUMN.fullmatch(part)
        if found is None:
            raise _unparsable("select parameter", select, part, "a column's name, `*`")
        cast = found["cast"]
        columns.append(Column(found["column"], cast=cast and cast.lower(), alias=found["alias"]))
    # A star among names is all columns, once.
    return () if "*" in _parts(select) else tuple(columns)


def _orders(order: str) -> tuple[Order, ...]:
    orders = []
    for part in _parts(order):
        found = ORDER.fullmatch(part)
        if found is None:
            raise _unparsable("order", order, part, "asc, desc, nullsfirst or nullslast")
        orders.append(
            Order(
                found["column"],
                descending=found["way"] == "desc",
                nulls_first=None if found["nulls"] is None else found["nulls"] == "nullsfirst",
            )
        )
    return tuple(orders)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _no_embedding(name: str) -> CallRefused:
    function = name.rpartition(".")[2]
    if not name or function in {"count", "sum", "avg", "min", "max"}:
        return CallRefused(400, "PGRST123", "Use of aggregate functions is not allowed")
    return CallRefused(
        400,
        "PGRST200",
        f"Could not find a relationship to '{name[:100]}' in the schema cache",
        details="Functions' rows have no embedded resources.",
        hint="Select columns of the function.",
    )


def _unparsable(what: str, text: str, part: str, expected: str) -> CallRefused:
    column = text.find(part) + 1
    return CallRefused(
        400,
        "PGRST100",
        f'"failed to parse {what} ({text[:100]})" (line 1, column {column})',
        details=f"unexpected {part[:50]!r}, expecting {expected}",
    )


def _whole(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not WHOLE.fullmatch(text):
        raise _unparsable(name, text, text, "a whole number")
    if int(text) < 0:
        raise CallRefused(
            416,
            "PGRST103",
            "Requested range not satisfiable",
            details=f"{name.capitalize()} should be greater than or equal to zero.",
        )
    return int(text)


def _range(header: str | None) -> tuple[int, int]:
    """The first and last row of `Range: 0-9`; one in another form is no range, as elsewhere."""
    found = RANGE.fullmatch(header.strip()) if header else None
    everything = 10**15
    if found is None:
        return 0, everything
    first, last = int(found[1]), int(found[2] or everything)
    if last < first:
        raise CallRefused(
            416,
            "PGRST103",
            "Requested range not satisfiable",
            details="The lower boundary must be lower than or equal to the upper boundary in the "
            "Range header.",
        )
    return first, last


def _quality(part: str) -> float:
    found = re.search(r";\s*q=([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", part)
    return float(found[1]) if found else 1.0

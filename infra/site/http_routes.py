"""The pages of the HTTP routes and their models, made from OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.site.json_schemas import fields_table, model_name, type_of

Json = Mapping[str, Any]

FOLDER = "reference/http"
INTRODUCTION = """# HTTP routes

Every route with its parameters, answers and errors, made from the OpenAPI description that a
running service shows at `/openapi.json`. Who calls, and what holds for all routes, says
[The HTTP API](../../api.md).

"""
ERRORS = """## Errors of every route

Any route may answer these, and the page of a route lists only what it has besides. The body of an
error is a [`Problem`](models.md#problem), except on the routes of PostgREST, which answer in
PostgREST's form.

"""
PROBLEM = "application/problem+json"
# Subjects that are names.
TITLES = {"postgrest": "PostgREST"}
# The order of a page's routes: as they are declared. HEAD and OPTIONS say what GET does.
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")


def http_pages(page: Json) -> dict[str, str]:
    """A page a subject, one of all models, and an index."""
    common = _common_errors(page)
    subjects: dict[str, list[tuple[str, str, Json]]] = {}
    for path, method, operation in _operations(page):
        subjects.setdefault(operation["tags"][0], []).append((path, method, operation))
    written = {f"{FOLDER}/index.md": _index(page, subjects, common)}
    for subject, routes in subjects.items():
        written[f"{FOLDER}/{_slug(subject)}.md"] = _subject(page, subject, routes, common)
    written[f"{FOLDER}/models.md"] = _models(page)
    return written


def _operations(page: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in page["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _common_errors(page: Json) -> dict[str, str]:
    """Statuses of errors that each route has, with the same meaning."""
    sets = [
        {(status, one["description"]) for status, one in o["responses"].items() if status >= "400"}
        for _, _, o in _operations(page)
    ]
    return dict(sorted(set.intersection(*sets)))


def _index(
    page: Json, subjects: Mapping[str, list[tuple[str, str, Json]]], common: Mapping[str, str]
) -> str:
    text = INTRODUCTION
    for subject, routes in subjects.items():
        text += f"## {_title(subject)}\n\n| route | what it does |\n|---|---|\n"
        for path, method, operation in routes:
            link = f"{_slug(subject)}.md#{_anchor(method, path)}"
            text += f"| [`{method.upper()} {path}`]({link}) | {_first_line(operation)} |\n"
        text += "\n"
    rows = "".join(f"| {status} | {meaning} |\n" for status, meaning in common.items())
    return text + ERRORS + "| status | meaning |\n|---|---|\n" + rows


def _subject(
    page: Json, subject: str, routes: list[tuple[str, str, Json]], common: Mapping[str, str]
) -> str:
    text = f"# {_title(subject)}\n\n"
    for path, method, operation in routes:
        text += f"## `{method.upper()} {path}` {{ #{_anchor(method, path)} }}\n\n"
        text += operation.get("description") or operation.get("summary", "")
        text += "\n\n" + _credentials(operation) + _parameters(operation)
        text += _body(page, operation) + _answers(page, operation, common)
    return (
        text
        + "Any route may also answer the [errors of every route](index.md#errors-of-every-route).\n"
    )


def _credentials(operation: Json) -> str:
    schemes = operation.get("security", [])
    if not schemes:
        return "**Needs** no credentials.\n\n"
    return "**Needs** a JWT or an API key: `Authorization: Bearer …`.\n\n"


def _parameters(operation: Json) -> str:
    parameters = operation.get("parameters", [])
    if not parameters:
        return ""
    text = "**Parameters**\n\n| name | in | type | meaning |\n|---|---|---|---|\n"
    for one in parameters:
        schema = one.get("schema", {})
        said = _one_line(one.get("description") or schema.get("description", ""))
        wanted = "" if not one.get("required") or one["in"] == "path" else "Required. "
        text += f"| `{one['name']}` | {one['in']} | {type_of(schema)} | {wanted}{said} |\n"
    return text + "\n"


def _body(page: Json, operation: Json) -> str:
    text = ""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        text += f"**Body**, `{kind}`: " + _shape(page, content.get("schema", {}))
    return text


def _shape(page: Json, schema: Json) -> str:
    """A model as a link with its fields below, or a type in words."""
    name = schema.get("$ref", "").rpartition("/")[2]
    model = page["components"]["schemas"].get(name, schema)
    if "properties" not in model:
        return type_of(schema) + "\n\n"
    link = f"{type_of(schema)}. " if name and not name.startswith("Body_") else ""
    return f"{link}{_one_line(model.get('description', ''))}\n\n{fields_table(model)}\n"


def _answers(page: Json, operation: Json, common: Mapping[str, str]) -> str:
    text = "**Answers**\n\n| status | meaning | body |\n|---|---|---|\n"
    for status, answer in sorted(operation["responses"].items()):
        if common.get(status) == answer["description"]:
            continue
        bodies = [
            f"{type_of(one.get('schema', {}))}" + ("" if kind.endswith("json") else f" (`{kind}`)")
            for kind, one in answer.get("content", {}).items()
            if status < "400"
        ]
        headers = ", ".join(f"`{name}`" for name in answer.get("headers", {}))
        said = _one_line(answer["description"]) + (f" Headers: {headers}." if headers else "")
        text += f"| {status} | {said} | {' or '.join(bodies)} |\n"
    return text + "\n"


def _models(page: Json) -> str:
    """Every model with its fields; those of forms stand with their route."""
    text = "# Models\n\nWhat the routes take and give, in the order of names.\n\n"
    schemas = dict(page["components"]["schemas"]) | {"Problem": _problem(page)}
    for name, model in sorted(schemas.items()):
        if name.startswith("Body_"):
            continue
        text += f"## {model_name(name)} {{ #{name.lower()} }}\n\n"
        if said := _one_line(model.get("description", "")):
            text += f"{said}\n\n"
        text += fields_table(model) if "properties" in model else f"{type_of(model)}\n"
        text += "\n"
    return text


def _problem(page: Json) -> Json:
    """The model of errors, which stands in each route."""
    for _, _, operation in _operations(page):
        for answer in operation["responses"].values():
            if PROBLEM in answer.get("content", {}):
                schema: Json = answer["content"][PROBLEM]["schema"]
                return schema
    raise ValueError("No route says how its errors look.")


def _title(subject: str) -> str:
    return TITLES.get(subject, subject.capitalize())


def _first_line(operation: Json) -> str:
    said = operation.get("description") or operation.get("summary", "")
    return said.splitlines()[0] if said else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(method: str, path: str) -> str:
    return _slug(f"{method} {path}")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

"""JSON Schema in words: the type of a value, and the fields of an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def fields_table(model: Json) -> str:
    """The fields of an object as a Markdown table."""
    required = set(model.get("required", ()))
    lines = ["| field | type | meaning |", "|---|---|---|"]
    for name, schema in model["properties"].items():
        said = " ".join(schema.get("description", "").split()).replace("|", "\\|")
        wanted = "" if name in required else "*optional* "
        lines.append(f"| `{name}` | {type_of(schema)} | {wanted}{said} |")
    return "\n".join(lines) + "\n"


def type_of(schema: Json) -> str:
    """What a value may be: `text`, a link to a model, or several with "or" between."""
    words = _kind(schema)
    if bounds := _bounds(schema):
        words += f", {bounds}"
    if schema.get("default") is not None:
        words += f"; default `{json.dumps(schema['default'])}`"
    return words


def model_name(name: str) -> str:
    """A model as people read it: of two with one name, each has its module."""
    *module, last = name.split("__")
    return f"{last} ({module[-1]})" if module else last


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{model_name(name)}](models.md#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(type_of(one) for one in schema[several])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])}"
    return _plain(schema)


def _plain(schema: Json) -> str:
    kind = schema.get("type", "anything")
    if kind == "string":
        return str(schema.get("format") or schema.get("contentMediaType") or "text").replace(
            "application/octet-stream", "file"
        )
    return str(kind)


def _bounds(schema: Json) -> str:
    least = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    most = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    of = " characters" if "maxLength" in schema or "minLength" in schema else ""
    if least is not None and most is not None:
        return f"{_number(least)} to {_number(most)}{of}"
    if most is not None:
        return f"at most {_number(most)}{of}"
    return f"at least {_number(least)}{of}" if least is not None else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

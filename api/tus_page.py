"""What the OpenAPI page says of the headers and bodies of resumable uploads."""

from __future__ import annotations

from typing import Any

VERSION = "1.0.0"
BYTES = "application/offset+octet-stream"
# Of answers.
HEADERS = {
    name: {"schema": {"type": "string"}}
    for name in ("Upload-Offset", "Upload-Expires", "Scenebook-Video-Id")
}


def _header(name: str, description: str, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {
        "name": name, "in": "header", "required": required, "description": description,
        "schema": schema,
    }  # fmt: skip


# Of requests.
SPOKEN = _header("Tus-Resumable", "The version of the protocol.", type="string", const=VERSION)
OFFSET = _header(
    "Upload-Offset", "How many bytes are stored.", type="integer", minimum=0, maximum=10**18 - 1
)
CREATION = [
    SPOKEN,
    _header("Upload-Length", "Bytes of the file.", type="integer", minimum=1, maximum=10**18 - 1),
    _header(
        "Upload-Metadata",
        "`filename`, `title`, `language` and `metadata` (a JSON object), each in base64.",
        required=False,
        type="string",
        example="filename ZmlsbS5tcDQ=,title QSBmaWxt",
    ),
]
CONTENT = {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}

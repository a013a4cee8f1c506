"""Bodies of requests: JSON, forms and parts of files, never a whole file in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from scenebook.errors import InvalidInput

PIECE_BYTES = 256 * 1024

# Called with the bytes that were sent so far and the bytes of the whole file.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FilePart:
    """`size` bytes of a file from `offset` on; `sent` is told how far it is."""

    path: Path
    offset: int
    size: int
    sent: Callable[[int], None] | None = None

    def pieces(self) -> Iterator[bytes]:
        """The bytes, piece by piece. Raises OSError, also if the file became shorter."""
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left:
                piece = file.read(min(left, PIECE_BYTES))
                if not piece:
                    raise OSError(f"{self.path} became shorter while it was sent")
                left -= len(piece)
                yield piece
                if self.sent is not None:
                    self.sent(self.offset + self.size - left)


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes and parts of files, one after the other; it can be sent again."""

    content_type: str
    parts: Sequence[bytes | FilePart]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(one.size if isinstance(one, FilePart) else len(one) for one in self.parts)

    def pieces(self) -> Iterator[bytes]:
        """The bytes in pieces of bounded size."""
        for one in self.parts:
            if isinstance(one, FilePart):
                yield from one.pieces()
            elif one:
                yield one


def of_json(content: Any) -> Body:
    """A JSON body, as `json_text`."""
    return Body("application/json", [json_text(content).encode()])


def of_given(content: Mapping[str, Any]) -> Body:
    """A JSON body without what is None."""
    return of_json({name: one for name, one in content.items() if one is not None})


def json_text(content: Any) -> str:
    """JSON, with ids as texts. Raises InvalidInput for what JSON does not have, as NaN."""
    try:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"This cannot be sent as JSON: {error}.") from None


def _plain(value: object) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def form(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes | FilePart]]) -> Body:
    """A multipart form; `files` are names and contents by field."""
    boundary = uuid4().hex
    parts: list[bytes | FilePart] = []
    for name, text in fields.items():
        parts.append(_head(boundary, f'name="{name}"') + text.encode("utf-8", "replace"))
        parts.append(b"\r\n")
    for name, (file_name, content) in files.items():
        about = f'name="{name}"; filename="{_quoted(file_name)}"'
        parts.append(_head(boundary, about, "Content-Type: application/octet-stream\r\n"))
        parts += [content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", parts)


def _head(boundary: str, about: str, more: str = "") -> bytes:
    text = f"--{boundary}\r\nContent-Disposition: form-data; {about}\r\n{more}\r\n"
    return text.encode("utf-8", "replace")


def _quoted(name: str) -> str:
    """A file's name as a quoted string; line breaks cannot be in one."""
    plain = name.replace("\\", "\\\\").replace('"', '\\"')
    return plain.replace("\r", " ").replace("\n", " ")

"""A multipart upload, parsed while it arrives: the file goes to disk, nothing large to memory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.arriving import arriving, content_length
from api.shares import in_turn
from scenebook.errors import InvalidInput, TooLarge, Unavailable, UnsupportedType
from scenebook.settings import Settings

BATCH_BYTES = 1024 * 1024
FIELD_BYTES = 64 * 1024
HEADER_BYTES = 32 * 1024
# What a form may have beside its file and transcript: boundaries, headers and fields.
FORM_BYTES = 512 * 1024
# Others need the disk too.
RESERVE_BYTES = 256 * 1024 * 1024
FILE, TRANSCRIPT = "file", "transcript"


@dataclass
class Form:
    """What a form held; `size` and `content_hash` (SHA-256, hexadecimal) are the file's."""

    path: Path
    file_name: str | None = None
    size: int = 0
    content_hash: str = ""
    transcript_name: str | None = None
    fields: dict[str, bytes] = field(default_factory=dict)


async def receive(
    request: Request, path: Path, *, settings: Settings, names: frozenset[str]
) -> Form:
    """Read a form: its `file` into `path`, its other parts into `fields`, each at most once.

    names: the fields there may be beside `file` and `transcript`. Raises InvalidInput, TooLarge,
    TooSlow, Interrupted, or Unavailable if the disk is full.
    """
    max_body = settings.media_max_bytes + settings.transcript_max_bytes + FORM_BYTES
    told = content_length(request)
    if told is not None and told > max_body:
        raise _file_too_large(settings)
    _check_room(path, told or 0)
    parser = _Parser(_boundary(request), path, settings, names)
    batch, received = bytearray(), 0
    try:
        async for piece in arriving(request):
            batch += piece
            received += len(piece)
            if received > max_body:  # before its first part and after its last one, too
                raise _file_too_large(settings)
            if len(batch) >= BATCH_BYTES:
                await in_turn(request, parser.feed, bytes(batch))
                batch.clear()
        await in_turn(request, parser.feed, bytes(batch))
        return await in_turn(request, parser.end)
    finally:
        parser.close()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data":
        raise UnsupportedType("Send the video as multipart/form-data, or a URL as JSON.")
    if not 1 <= len(boundary) <= 200:
        raise _malformed("Content-Type has no boundary")
    return boundary


def _malformed(what: str) -> InvalidInput:
    return InvalidInput(f"The form cannot be read: {what}.", code="invalid_multipart")


def _file_too_large(settings: Settings) -> TooLarge:
    return TooLarge(f"The file has more than MEDIA_MAX_BYTES, {settings.media_max_bytes} bytes.")


def _check_room(path: Path, size: int) -> None:
    if shutil.disk_usage(path.parent).free < size + RESERVE_BYTES:
        raise Unavailable("There is no room for this upload now. Try again later.")


class _Parser:
    """Parts of a form as they come; used by one thread at a time."""

    def __init__(
        self, boundary: bytes, path: Path, settings: Settings, names: frozenset[str]
    ) -> None:
        self._form = Form(path)
        self._settings = settings
        self._names = names
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._fields: dict[str, bytearray] = {}
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._take: Callable[[bytes], None] | None = None
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, at, to: self._header[0].extend(data[at:to]),
                "on_header_value": lambda data, at, to: self._header[1].extend(data[at:to]),
                "on_header_end": self._header_ended,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_end": self._end,
            },
            max_header_size=HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed("it is not valid multipart/form-data") from error
        if self._form.size:
            _check_room(self._form.path, 0)

    def end(self) -> Form:
        """The whole form, after the last byte."""
        if not self._ended:
            raise _malformed("it breaks off before its last boundary")
        if self._form.file_name is None:
            raise InvalidInput("The form has no part `file`.", code="file_missing")
        if self._form.size == 0:
            raise InvalidInput("The file is empty.", code="empty_file")
        self._form.fields = {name: bytes(value) for name, value in self._fields.items()}
        self._form.content_hash = self._digest.hexdigest()
        return self._form

    def close(self) -> None:
        """Give the file back; what it holds stays."""
        if self._file is not None:
            self._file.close()

    def _header_ended(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _begin(self) -> None:
        """Where the data of this part goes, by its name; a name comes once."""
        given = self._headers.get(b"content-disposition", b"").decode("latin-1")
        kind, options = parse_options_header(given)
        name = _text(options.get(b"name", b""))
        if kind != b"form-data" or name not in {FILE, TRANSCRIPT, *self._names}:
            known = ", ".join(sorted({FILE, TRANSCRIPT, *self._names}))
            raise _malformed(f"a part has no name or an unknown one; there are {known}")
        if name in self._fields or (name == FILE and self._form.file_name is not None):
            raise _malformed(f"the part {name} comes twice")
        file_name = _text(options.get(b"filename", b""))
        if name == FILE:
            self._form.file_name = file_name
            # After a failure to close, the private directory takes the file away.
            self._file = self._form.path.open("wb")
            self._take = self._into_file
            return
        if name == TRANSCRIPT:
            self._form.transcript_name = file_name
        received = bytearray()
        most = self._settings.transcript_max_bytes if name == TRANSCRIPT else FIELD_BYTES
        self._fields[name] = received

        def into_field(data: bytes) -> None:
            received.extend(data)
            if len(received) > most:
                raise TooLarge(f"The part {name} has more than {most} bytes.")

        self._take = into_field

    def _data(self, data: bytes, at: int, to: int) -> None:
        assert self._take is not None
        self._take(data[at:to])

    def _into_file(self, data: bytes) -> None:
        self._form.size += len(data)
        if self._form.size > self._settings.media_max_bytes:
            raise _file_too_large(self._settings)
        self._digest.update(data)
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise Unavailable("There is no room for this upload now. Try again later.") from error

    def _end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    """A parameter of a header; browsers write what is not ASCII as UTF-8."""
    return raw.decode("utf-8", "replace")

"""Films whose pictures are said to lie in another file."""

from __future__ import annotations

import struct

PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def alias_in(film: bytes, target: str) -> bytes:
    """A QuickTime film, with its index at the end, whose first track refers to another file."""
    return b"".join(_boxes(film, target))


def _boxes(content: bytes, target: str) -> list[bytes]:
    found, at = [], 0
    while at + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + size]
        if kind in PARENTS:
            body = b"".join(_boxes(body, target))
        elif kind == b"dref":
            body = struct.pack(">II", 0, 1) + _alias(target)
        found.append(struct.pack(">I4s", 8 + len(body), kind) + body)
        at += size
    return found


def _alias(target: str) -> bytes:
    """A Macintosh alias record with an absolute path, as FFmpeg reads it."""
    path = target.encode()
    path += b"\0" * (len(path) % 2)
    record = bytes(10) + b"\x04disk".ljust(28, b"\0") + bytes(12)
    record += bytes([len("canary.mp4")]) + b"canary.mp4".ljust(63, b"\0") + bytes(16)
    record += bytes(4) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + path + struct.pack(">HH", 0xFFFF, 0)
    return struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record

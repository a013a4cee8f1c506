"""Finds and changes the boxes of an MP4, for files that no library would write."""

from __future__ import annotations

import struct


def inside(content: bytes, name: bytes) -> int:
    """Where the first box of this name has its own bytes: version and flags, then its fields."""
    return content.index(name) + 4


def patched(content: bytes, at: int, value: int) -> bytes:
    """The content with another 32-bit number at this place."""
    return content[:at] + struct.pack(">I", value) + content[at + 4 :]


def box_of(content: bytes, name: bytes) -> tuple[int, int]:
    """Where the first box of this name begins and ends."""
    start = content.index(name) - 4
    return start, start + int(struct.unpack_from(">I", content, start)[0])


def with_more_tracks(content: bytes, count: int) -> bytes:
    """The first track this many times more; the index has to be the file's last box."""
    moov, _ = box_of(content, b"moov")
    start, end = box_of(content, b"trak")
    track = content[start:end] * count
    (size,) = struct.unpack_from(">I", content, moov)
    return patched(content, moov, size + len(track))[:end] + track + content[end:]

"""Parts of a resource that a client asks for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re

SINGLE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class NotSatisfiable(ValueError):
    """The range lies beyond the end."""


def part_of(header: str | None, size: int) -> range | None:
    """The bytes asked for, of `size`; None for all of them.

    What is no range, and several ranges at once, are ignored, as a server may. Raises
    NotSatisfiable.
    """
    found = SINGLE.fullmatch(header.strip()) if header is not None else None
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise NotSatisfiable
        return range(size - length, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise NotSatisfiable
    return range(int(first), min(int(last) + 1, size) if last else size)


def names(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this entity tag; weak tags compare as strong ones."""
    if header is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in tags or etag in tags

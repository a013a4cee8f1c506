"""The list of hostile files: what each is, how to make it, and what has to become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Make = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A hostile file: its name, what writes it, and its promised end.

    code is the status of a file that can be indexed, and of another the stable code of its failure.
    """

    name: str
    make: Make
    code: str

    @property
    def what(self) -> str:
        """What is hostile in it."""
        return (self.make.__doc__ or "").split("\n")[0].rstrip(".")


KINDS: dict[str, Kind] = {}


def kind(name: str, code: str) -> Callable[[Make], Make]:
    """Put a function that writes a file on the list."""

    def add(make: Make) -> Make:
        assert name not in KINDS, name
        KINDS[name] = Kind(name, make, code)
        return make

    return add

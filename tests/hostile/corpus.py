"""Every hostile file, by name."""

from __future__ import annotations

from pathlib import Path

from tests.hostile import damaged, odd, refused
from tests.hostile.kinds import KINDS, Kind

# The modules put their files on the list as they are imported.
MODULES = (damaged, odd, refused)


def written(kind: Kind, folder: Path) -> Path:
    """The file of a kind, written to a folder."""
    path = folder / kind.name
    kind.make(path)
    return path


__all__ = ["KINDS", "Kind", "written"]

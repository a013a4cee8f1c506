"""The uploads of a run: one small video with three scenes, in any number of different files."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from tests.clips import still, tone, write

SCENES = 3
FRAMES = 25
WORD = "lighthouse"


def base_video(path: Path) -> Path:
    """Three scenes of a second each, and a tone."""
    pictures = [picture for seed in range(SCENES) for picture in still(100 + seed, FRAMES)]
    return write(path, pictures, fps=FRAMES, sound=tone(SCENES))


def copy_of(base: bytes, path: Path, *, mark: str) -> Path:
    """The same video in other bytes: Matroska ignores what follows its last element."""
    content = mark.encode()
    void = b"\xec" + bytes([0x80 | len(content)]) + content  # EBML Void, of up to 126 bytes
    path.write_bytes(base + void)
    return path


def words_of(owner_id: UUID) -> str:
    """A line a scene; each has a word that all owners have and one of this owner's own."""
    lines = ["WEBVTT", ""]
    for scene in range(SCENES):
        lines += [
            f"00:00:0{scene}.100 --> 00:00:0{scene}.900",
            f"The {WORD} of {own_word(owner_id)} number {scene}",
            "",
        ]
    return "\n".join(lines)


def own_word(owner_id: UUID) -> str:
    """A word that no other owner's transcripts hold."""
    return f"w{owner_id.hex[:10]}"

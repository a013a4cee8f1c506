"""The film that a canary carries: drawn scenes, words that nobody else says, bytes of its own."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

# Drawn by tests/canary_film.py: SEEN is true of its first scene and not of its second.
FILM = Path(__file__).with_name("canary.mp4")
SEEN = "a red circle left of a blue square"
SCENES = 2

# No stemmer of any language makes another word of these.
LETTERS = "bcdfghjklmnpqrtvwxz"
NAMED = "scenebook-canary-"
TITLE = re.compile(rf"{NAMED}[{LETTERS}]{{12}}\.mp4")


@dataclass(frozen=True, slots=True)
class Film:
    """One canary's video and its subtitles."""

    path: Path
    transcript: Path
    words: str
    content: bytes

    @property
    def title(self) -> str:
        """What the video is called."""
        return self.path.name


def make(folder: Path) -> Film:
    """Write a film like no other, so that no owner has the same bytes or words already."""
    word = "".join(secrets.choice(LETTERS) for _ in range(12))
    words = f"The canary {word} sings."
    path = folder / f"{NAMED}{word}.mp4"
    mark = word.encode()
    # A box that players skip.
    content = FILM.read_bytes() + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark
    path.write_bytes(content)
    transcript = path.with_suffix(".vtt")
    transcript.write_text(f"WEBVTT\n\n00:00.200 --> 00:01.800\n{words}\n", "utf-8")
    return Film(path, transcript, words, content)

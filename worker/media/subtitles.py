"""Reads the text track that some containers carry."""

from __future__ import annotations

import html
import re
from typing import Any

import av
from av.subtitles.subtitle import AssSubtitle

from scenebook.model import Utterance, UtteranceSource
from worker.media.damage import Damage

TAG = re.compile(r"\{\\[^{}]*\}|</?[A-Za-z][^<>]*>|<[\d:.]+>")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")
MAX_LINES = 50_000
MAX_CHARACTERS = 2000
# Of one line with its markup, and of all words: six hours of dense speech are half a megabyte.
MAX_LINE_BYTES = 20_000
MAX_ALL_CHARACTERS = 5_000_000
# A line without a length is shown for this long.
DEFAULT_MS = 2000


class SubtitleReader:
    """Collects the lines of one text stream; times become final once the first picture is known."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._lines: list[tuple[int, int, str]] = []
        self._room = MAX_ALL_CHARACTERS
        self._full = False

    def add(self, packet: av.Packet[Any]) -> None:
        """One packet of a text stream; raises av.error.FFmpegError if it cannot be read."""
        if packet.pts is None or packet.size == 0 or self._full:
            return
        start_ms = round(1000 * packet.pts * packet.time_base)
        lasts_ms = round(1000 * (packet.duration or 0) * packet.time_base) or DEFAULT_MS
        for shown in packet.decode():
            text = _words(shown.dialogue) if isinstance(shown, AssSubtitle) else ""
            if not text:
                continue
            self._room -= len(text)
            if self._room < 0 or len(self._lines) >= MAX_LINES:
                self._full = True
                self._damage.notes.append(f"only the first {len(self._lines)} subtitles were read")
                return
            self._lines.append((start_ms, start_ms + lasts_ms, text))

    def utterances(self, zero_ms: int, end_ms: int) -> tuple[Utterance, ...]:
        """Lines on the video's clock, inside [0, end_ms)."""
        found = []
        for start_ms, stop_ms, text in sorted(self._lines):
            start_ms, stop_ms = max(0, start_ms - zero_ms), min(end_ms, stop_ms - zero_ms)
            if start_ms < stop_ms:
                found.append(Utterance(start_ms, stop_ms, text, UtteranceSource.SUBTITLES))
        return tuple(found)


def _words(dialogue: bytes) -> str:
    """The words of one line, without styling and line breaks."""
    text = (
        dialogue[:MAX_LINE_BYTES].decode("utf-8", "replace").replace("\\N", " ").replace("\\n", " ")
    )
    text = CONTROL.sub(" ", html.unescape(TAG.sub("", text.replace("\\h", " "))))
    return " ".join(text.split())[:MAX_CHARACTERS]

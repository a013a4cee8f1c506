"""Subtitle files (WebVTT, SubRip) as utterances, words only, once each; and utterances as files."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scenebook.errors import InvalidSubtitles
from scenebook.model import Utterance, UtteranceSource

# Six hours of dense speech are half a megabyte.
MAX_BYTES = 5_000_000
# Two a second for seven hours.
MAX_UTTERANCES = 50_000
# So many lines of a cue are looked for in the next one; rolling captions show two or three.
MAX_ROLLED_LINES = 20
# A cue without a length is shown for this long; most players do much the same.
DEFAULT_CUE_MS = 1000
# Rolling captions repeat the line before; their cues touch, or nearly.
ROLLING_GAP_MS = 100

TIME = r"-?(?:[0-9]{1,2}:)?[0-9]{1,2}:[0-9]{1,2}[.,][0-9]{1,3}"
TIMES = re.compile(rf"\s*({TIME})\s*-->\s*({TIME})(?![0-9])")
# No part may run over the next tag: a file of open tags would be read once for each of them.
VOICE = re.compile(r"<v(?:\.[^\s<>]*)?(?:\s([^<>]*))?>")
TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
LANGUAGE = re.compile(r"^Language:\s*([A-Za-z-]{2,20})\s*$", re.MULTILINE | re.IGNORECASE)
# Control characters are no words, and Postgres refuses NUL; directional marks are kept.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue with its lines as the file has them."""

    start_ms: int
    end_ms: int
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Voice:
    """What one speaker says in a cue, cleaned, line by line."""

    start_ms: int
    end_ms: int
    lines: list[str]
    speaker: str | None


def parse_subtitles(content: bytes, *, name: str) -> list[Utterance]:
    """The utterances of a WebVTT or SubRip file, in order of time.

    content: the file's bytes, in UTF-8, UTF-16 or Windows-1252. name: the file's name, for
    messages; the format is told from the content. A speaker comes from WebVTT's voice tags; several
    voices in one cue become several utterances. Raises InvalidSubtitles.
    """
    if len(content) > MAX_BYTES:
        raise InvalidSubtitles(
            f"{name} has {len(content):,} bytes; subtitles have at most {MAX_BYTES:,}."
        )
    cues = _cues(_decode(content, name=name), name=name)
    cues.sort(key=lambda cue: (cue.start_ms, cue.end_ms))
    found = list(_without_rolling(voice for cue in cues for voice in _voices(cue)))
    if len(found) > MAX_UTTERANCES:
        raise InvalidSubtitles(
            f"{name} has {len(found):,} lines; subtitles have at most {MAX_UTTERANCES:,}."
        )
    return found


def subtitles_language(content: bytes) -> str | None:
    """What the header of a WebVTT file says of its language, as YouTube's do: `Language: en`."""
    header, *_ = re.split(r"\r?\n\r?\n", _decode(content, name="The file").lstrip(), maxsplit=1)
    said = LANGUAGE.search(header) if header.startswith("WEBVTT") else None
    return None if said is None else said[1]


def without_markup(text: str) -> str:
    """Words of one subtitle line: no tags, ASS overrides, entities or control characters."""
    bare = TAG.sub("", text.replace("\\h", " "))
    return " ".join(CONTROL.sub("", html.unescape(bare)).split())


def storable(text: str) -> str:
    """A text of foreign origin without what no database stores: control characters, surrogates."""
    return CONTROL.sub(" ", text.encode("utf-8", "ignore").decode("utf-8"))


def _decode(content: bytes, *, name: str) -> str:
    """The text of the file; a byte-order mark decides, else UTF-8, else Windows-1252."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif len(content) > 1 and content[1::2].count(0) > len(content) // 4:
        encodings = ["utf-16-le"]
    elif len(content) > 1 and content[0::2].count(0) > len(content) // 4:
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return CONTROL.sub("", content.decode(encoding))
        except UnicodeDecodeError:
            continue
    raise InvalidSubtitles(f"The encoding of {name} is not known. Save it as UTF-8.")


def _cues(text: str, *, name: str) -> list[Cue]:
    """Every cue with its lines as written.

    Left out: headers, NOTE, STYLE and REGION blocks, cue numbers and identifiers, cue settings.
    (pysubs2 takes WebVTT's blocks and identifiers for words of the cue before, and drops a last
    line that is a number; so the two formats are read here.)
    """
    lines = text.splitlines()
    is_vtt = text.lstrip().startswith("WEBVTT")
    cues: list[Cue] = []
    in_cue = False
    for index, line in enumerate(lines):
        if "-->" in line:
            times = TIMES.match(line)
            if times is None:
                raise InvalidSubtitles(
                    f"{name}, line {index + 1}: {line.strip()[:60]!r} is not a time range. "
                    "Write it like 00:01:02.500 --> 00:01:04.000."
                )
            # A SubRip text may hold empty lines, so only now is the next cue's number known.
            if in_cue and not is_vtt and cues[-1].lines and lines[index - 1].strip().isdecimal():
                cues[-1].lines.pop()
            start_ms, end_ms = _ms(times[1]), _ms(times[2])
            cues.append(Cue(start_ms, end_ms if end_ms > start_ms else start_ms + DEFAULT_CUE_MS))
            in_cue = True
        elif line.strip():
            if in_cue:
                cues[-1].lines.append(line)
        elif is_vtt:
            in_cue = False
    if not cues:
        raise InvalidSubtitles(
            f"{name} has no cue (no line with '-->'). Give a WebVTT (.vtt) or SubRip (.srt) file."
        )
    return cues


def _ms(time: str) -> int:
    """Milliseconds of "1:02:03,5", "02:03.500" and the like; a negative time is 0."""
    if time.startswith("-"):
        return 0
    clock, fraction = re.split("[.,]", time)
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds * 1000 + int(fraction.ljust(3, "0"))


def _voices(cue: Cue) -> Iterator[Voice]:
    """Every voice of one cue that says something; the speaker holds until the next voice tag."""
    parts = VOICE.split("\n".join(cue.lines).replace("\\N", "\n").replace("\\n", "\n"))
    speaker: str | None = None
    for position, part in enumerate(parts):
        if position % 2:
            speaker = without_markup(part or "") or None
            continue
        lines = [without_markup(line) for line in part.split("\n")]
        spoken = [line for line in lines if any(c.isalnum() for c in line)]
        if spoken:
            yield Voice(cue.start_ms, cue.end_ms, spoken, speaker)


def _without_rolling(voices: Iterable[Voice]) -> Iterator[Utterance]:
    """Utterances in which a line that a cue repeats from the cue before is said once."""
    last: Utterance | None = None
    shown: Voice | None = None
    for voice in voices:
        new = " ".join(voice.lines)
        if shown is not None and _touches(shown, voice):
            new = _new_words(shown.lines, voice.lines)
        shown = voice
        if not new and last is not None:
            last = replace(last, end_ms=max(last.end_ms, voice.end_ms))
            continue
        if last is not None:
            yield last
        last = Utterance(
            voice.start_ms, voice.end_ms, new, UtteranceSource.SUBTITLES, voice.speaker
        )
    if last is not None:
        yield last


def _touches(shown: Voice, voice: Voice) -> bool:
    return shown.speaker == voice.speaker and voice.start_ms <= shown.end_ms + ROLLING_GAP_MS


def _new_words(shown: list[str], lines: list[str]) -> str:
    """What lines say beyond the lines shown before: rolled up, or painted on word by word."""
    if shown == lines:
        return ""
    for count in range(min(len(shown), len(lines), MAX_ROLLED_LINES), 0, -1):
        if shown[-count:] == lines[:count]:
            return " ".join(lines[count:])
    before, now = " ".join(shown), " ".join(lines)
    if now.startswith(before + " "):
        return now[len(before) :].strip()
    return now


def to_vtt(lines: Sequence[Utterance]) -> str:
    """Utterances as a WebVTT file; speakers become voice tags."""
    cues = ["WEBVTT\n"]
    for line in lines:
        said = html.escape(" ".join(line.text.split()), quote=False)
        voice = html.escape(" ".join((line.speaker or "").split()), quote=False)
        cues.append(f"{_times(line, '.')}\n{f'<v {voice}>' if voice else ''}{said}\n")
    return "\n".join(cues)


def to_srt(lines: Sequence[Utterance]) -> str:
    """Utterances as a SubRip file; it knows no speakers."""
    return "\n".join(
        # An arrow within the words would be read as the times of another cue.
        f"{number}\n{_times(line, ',')}\n{' '.join(line.text.split()).replace('-->', '->')}\n"
        for number, line in enumerate(lines, start=1)
    )


def _times(line: Utterance, point: str) -> str:
    return f"{_clock(line.start_ms, point)} --> {_clock(line.end_ms, point)}"


def _clock(ms: int, point: str) -> str:
    """A time as "01:02:03.500", with a point or comma before the milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"

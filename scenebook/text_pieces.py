"""Long text cut into pieces that fit a model's window, at the ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping

# After the mark that ends a sentence; scripts without spaces after it included.
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？।])\s*|\n+")


def estimate_tokens(text: str) -> int:
    """About how many tokens a byte-level BPE makes of a text, rather more than too few.

    English has some four characters a token, so three are assumed; other scripts and emoji have one
    to two and a half tokens a character, which is near half their bytes in UTF-8.
    """
    ascii_count = sum(c < "\x80" for c in text)
    return (ascii_count + 2) // 3 + (len(text.encode("utf-8", "replace")) - ascii_count + 1) // 2


def split_text(text: str, *, max_tokens: int) -> list[str]:
    """Pieces of at most max_tokens estimated tokens, in order; none for empty text.

    A piece ends with a sentence where it can, else with a word, else anywhere.
    """
    pieces: list[str] = []
    for sentence in SENTENCE_END.split(text):
        for part in _fitting(" ".join(sentence.split()), max_tokens):
            joined = f"{pieces[-1]} {part}" if pieces else part
            if pieces and estimate_tokens(joined) <= max_tokens:
                pieces[-1] = joined
            else:
                pieces.append(part)
    return pieces


def _fitting(sentence: str, max_tokens: int) -> list[str]:
    """A sentence, or its parts if it is too long."""
    parts: list[str] = []
    at = 0
    # A character counts for a third of a token at least, so a longer look ahead tells no more.
    while estimate_tokens(window := sentence[at : at + 3 * max_tokens + 1]) > max_tokens:
        # ... and for two tokens at most, so this many characters surely fit.
        size = max(max_tokens // 2, 1)
        while estimate_tokens(window[: size + size // 2 + 1]) <= max_tokens:
            size += size // 2 + 1
        space = window.rfind(" ", size // 2, size + 1)
        cut = space if space > 0 else size
        parts.append(window[:cut].strip())
        at += cut
    rest = sentence[at:].strip()
    return [*parts, rest] if rest else parts


def batches(texts: Mapping[str, str], *, max_inputs: int, max_tokens: int) -> list[dict[str, str]]:
    """The texts by their keys, in order, in groups that keep both limits of one request."""
    groups: list[dict[str, str]] = []
    tokens = 0
    for key, text in texts.items():
        size = estimate_tokens(text)
        if not groups or len(groups[-1]) == max_inputs or tokens + size > max_tokens:
            groups.append({})
            tokens = 0
        groups[-1][key] = text
        tokens += size
    return groups

"""Text cut into pieces that fit a model's window, counted in the model's own tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scenebook.text_pieces import SENTENCE_END

# Start and end of each token, in characters of the text.
Offsets = list[tuple[int, int]]


def cut(text: str, *, window: int, tokenize: Callable[[str], Offsets]) -> list[str]:
    """The text in order, in as few pieces of at most `window` tokens as sentences allow.

    A sentence longer than the window is cut between words. Blank text has no piece.
    """
    pieces: list[str] = []
    room = 0
    for sentence in SENTENCE_END.split(text):
        if not (sentence and sentence.strip()):
            continue
        for part, tokens in _fitting(sentence.strip(), window, tokenize):
            if pieces and tokens <= room:
                pieces[-1] += f" {part}"
                room -= tokens
            else:
                pieces.append(part)
                room = window - tokens
    return pieces


def _fitting(
    sentence: str, window: int, tokenize: Callable[[str], Offsets]
) -> Iterator[tuple[str, int]]:
    """The sentence, or parts of it that fit the window, each with its number of tokens."""
    offsets = tokenize(sentence)
    first = 0
    while len(offsets) - first > window:
        last = first + window
        # Back to the last token that starts a word, if there is one.
        starts = (at for at in range(last, first, -1) if sentence[offsets[at][0] - 1].isspace())
        word = next(starts, last)
        yield sentence[offsets[first][0] : offsets[word][0]].strip(), word - first
        first = word
    if first < len(offsets):
        yield sentence[offsets[first][0] :].strip(), len(offsets) - first

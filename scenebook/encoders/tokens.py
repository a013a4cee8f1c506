"""Words to CLIP's tokens, exactly as open_clip does it, without torch."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import ModelUnavailable

START, END = "<start_of_text>", "<end_of_text>"
# A word's last piece is another token than the same letters inside of a word.
END_OF_WORD = "</w>"


class ClipTokenizer:
    """open_clip's byte-pair encoding. clean is "lower" or "whitespace", as open_clip has them.

    Cleaning and splitting into words need ftfy and regex: the Unicode of other libraries' patterns
    differs. Raises ModelUnavailable if a package is missing.
    """

    def __init__(self, vocabulary: Path, *, context_length: int, clean: str) -> None:
        try:
            import ftfy
            import regex
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ModelUnavailable(
                f"Exported models need the packages of the extra 'onnx' ({error}): pip install "
                "'scenebook[onnx]', or set ENCODER_RUNTIME=torch."
            ) from error
        self._fix: Callable[[str], str] = ftfy.fix_text
        self._words: Any = regex.compile(
            rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+",
            regex.IGNORECASE,
        )
        try:
            self._pieces = Tokenizer.from_file(str(vocabulary))
        except Exception as error:  # the door to the library's loader, which raises nothing finer
            raise ModelUnavailable(
                f"The vocabulary {vocabulary} cannot be read ({error}). Make it again with "
                "`scenebook models export`, or set ENCODER_RUNTIME=torch."
            ) from error
        self._ends = {word: self._pieces.token_to_id(word) for word in (START, END)}
        self._context_length = context_length
        self._lower = clean == "lower"
        self._letters = byte_letters()

    def __call__(self, text: str) -> NDArray[np.int64]:
        """(tokens,) from start to end of the text, at most context_length, without padding."""
        ids = [self._ends[START]]
        for word in self._words.findall(self._clean(text)):
            ids += [self._ends[word]] if word in self._ends else self._tokens(word)
        ids.append(self._ends[END])
        if len(ids) > self._context_length:
            ids = [*ids[: self._context_length - 1], self._ends[END]]
        return np.array(ids, dtype=np.int64)

    def padded(self, text: str) -> NDArray[np.int64]:
        """(context_length,), with zeros after the end, as open_clip gives it."""
        ids = self(text)
        return np.pad(ids, (0, self._context_length - len(ids)))

    def _clean(self, text: str) -> str:
        plain = html.unescape(html.unescape(self._fix(text)))
        words = " ".join(plain.split())
        return words.lower() if self._lower else words

    def _tokens(self, word: str) -> list[int]:
        letters = "".join(self._letters[byte] for byte in word.encode())
        ids: list[int] = self._pieces.encode([letters], is_pretokenized=True).ids
        return ids


def byte_letters() -> Mapping[int, str]:
    """A visible letter for each byte: itself where it is visible in Latin-1, else from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = (byte for byte in range(256) if byte not in visible)
    return {byte: chr(byte) for byte in visible} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }


def vocabulary_of(tokenizer: Any) -> str:
    """open_clip's SimpleTokenizer as the JSON that ClipTokenizer reads."""
    from tokenizers import Tokenizer, models

    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    pieces = Tokenizer(
        models.BPE(vocab=tokenizer.encoder, merges=merges, end_of_word_suffix=END_OF_WORD)
    )
    made: str = pieces.to_str()
    return made

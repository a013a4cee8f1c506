"""Types of clients' texts: representable everywhere, and bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints


def sound(text: str) -> str:
    """The text, if Postgres and UTF-8 can hold it. Raises ValueError, which answers 422."""
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be Unicode: it holds half of a surrogate pair")
    return text


Text = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(sound)]
# Names and titles that people give to things; only spaces are no name.
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(sound),
]
Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(sound),
]
Url = Annotated[str, StringConstraints(min_length=8, max_length=2000), AfterValidator(sound)]

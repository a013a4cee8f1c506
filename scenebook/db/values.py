"""The one place where Python values become values that Postgres accepts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

MAX_TEXT = 100_000
MAX_ERROR = 500


def clean_text(value: str, *, limit: int = MAX_TEXT) -> str:
    """The text without what Postgres refuses (NUL, lone surrogates), cut at `limit` characters."""
    cleaned = value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return cleaned[:limit]


def clean_error(value: str | None) -> str | None:
    """An error's text, short enough for its column."""
    return None if value is None else clean_text(value, limit=MAX_ERROR)


def to_json(value: Any) -> str:
    """JSON that `jsonb` accepts: no NUL, no surrogate, and NaN or infinity as null."""
    return json.dumps(_clean(value), ensure_ascii=False, allow_nan=False)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def halfvec(vector: NDArray[np.float32] | Sequence[float]) -> str:
    """A vector as the text that `::halfvec` reads."""
    return str(HalfVector(np.asarray(vector, dtype=np.float32)).to_text())


def vector_literal(vector: NDArray[np.float32] | Sequence[float]) -> str:
    """A vector as the text that `::vector` reads, at full float32 precision."""
    return "[" + ",".join(repr(float(x)) for x in vector) + "]"

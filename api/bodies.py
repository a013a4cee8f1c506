"""How large the body of a route may be; the door cuts off what is larger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from scenebook.settings import Settings

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_MARK = "__most_bytes__"


def most_bytes(setting: str | None) -> Callable[[Endpoint], Endpoint]:
    """Mark a route: its bodies have at most the bytes of this setting; None: it bounds them."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _MARK, setting)
        return endpoint

    return mark


def limit_of(endpoint: Any, settings: Settings) -> int | None:
    """The bytes that a body of this route may have; None if the route reads it as it arrives."""
    setting = getattr(endpoint, _MARK, "request_max_bytes")
    return None if setting is None else int(getattr(settings, setting))

"""Which pages of browsers may call the service (CORS_ORIGINS), and what they may read."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from scenebook.errors import ConfigurationError
from scenebook.settings import Settings

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
EXPOSED_HEADERS = (
    "X-Request-Id", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
    "Content-Range", "Range-Unit", "Accept-Ranges", "Location", "Idempotency-Replayed",
    "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "traceresponse",
    "Upload-Offset", "Upload-Length", "Upload-Expires", "Upload-Metadata", "Scenebook-Video-Id",
)  # fmt: skip


def install(app: FastAPI, settings: Settings) -> None:
    """Answer what browsers ask before they call."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins_of(settings),
        allow_methods=sorted(METHODS),
        allow_headers=["*"],
        allow_credentials=False,  # who calls is said in a header, never by a cookie
        expose_headers=EXPOSED_HEADERS,
        max_age=600,
    )


def origins_of(settings: Settings) -> list[str]:
    """The pages that may call us. Raises ConfigurationError."""
    origins = [one.strip() for one in (settings.cors_origins or "").split(",") if one.strip()]
    for one in origins:
        if one != "*" and not ORIGIN.fullmatch(one):
            raise ConfigurationError(
                f"CORS_ORIGINS: {one!r} is no origin. It looks like https://app.example.com, "
                "without a path."
            )
    return origins

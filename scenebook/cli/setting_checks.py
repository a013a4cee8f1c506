"""Checks of settings: what they name elsewhere answers, and they fit more than one machine."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from scenebook.cli.checks import Check, Verdict
from scenebook.errors import ConfigurationError
from scenebook.remote_calls import OPENAI_URL
from scenebook.settings import Settings
from scenebook.signing import secret_of

REMOTE_TIMEOUT_S = 10.0


def bare(url: str) -> str:
    """An address without the user, password and query that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def check_key(settings: Settings) -> Check:
    """The API for descriptions, and for whatever else is set to `openai`, takes the key."""
    base = bare(settings.openai_base_url or OPENAI_URL)
    needed = "openai" in (settings.text_embedding_provider, settings.transcription_provider)
    worst = Verdict.FAIL if needed else Verdict.WARN
    if settings.openai_api_key is None:
        return Check(
            "api key",
            Verdict.FAIL if needed else Verdict.OFF,
            "OPENAI_API_KEY is not set: no descriptions",
            "Set OPENAI_API_KEY, and OPENAI_BASE_URL for another server than OpenAI's.",
        )
    try:
        status = _status_of_models(settings)
    except (httpx.RequestError, httpx.InvalidURL) as error:
        remedy = "Check OPENAI_BASE_URL, and that this machine may reach it."
        return Check("api key", worst, f"set; {base}: {type(error).__name__}", remedy)
    if status in (401, 403):
        return Check("api key", worst, f"{base} refuses it ({status})", "Set OPENAI_API_KEY.")
    if status >= 500:
        return Check("api key", worst, f"set; {base} answers {status}", "Try again later.")
    return Check("api key", Verdict.OK, f"set, for {base}, which answers")


def _status_of_models(settings: Settings) -> int:
    """What the list of models answers: it costs nothing. Servers without one say 404."""
    key = settings.openai_api_key
    assert key is not None
    url = httpx.URL((settings.openai_base_url or OPENAI_URL).rstrip("/"))
    return httpx.get(
        url.copy_with(path=url.path.rstrip("/") + "/models"),
        headers={"Authorization": f"Bearer {key.get_secret_value()}"},
        timeout=REMOTE_TIMEOUT_S,
    ).status_code


def check_settings(settings: Settings) -> Iterator[Check]:
    """What starts on one machine and breaks, or is refused, in a deployment of several."""
    try:
        if settings.scenebook_secret_key is not None:
            secret_of(settings)
    except ConfigurationError as error:
        yield Check("settings", Verdict.FAIL, str(error), "The API does not start with it.")
        return
    if settings.database_url is None:
        yield Check("settings", Verdict.OK, "of one machine, with embedded servers")
        return
    doubts = []
    if settings.scenebook_secret_key is None:
        doubts.append("SCENEBOOK_SECRET_KEY is not set: copies of the API refuse each other's URLs")
    if settings.storage.startswith("file:"):
        doubts.append("STORAGE_URL is a directory: api and workers must share its disk")
    if settings.redis_url is None:
        doubts.append("REDIS_URL is not set: workers and relay do not start")
    if settings.auth_mode == "dev":
        doubts.append("AUTH_MODE is dev: refused wherever API_HOST is not of this machine")
    if doubts:
        remedy = "Right on one machine; docs/deploying.md says what a deployment needs."
        yield Check("settings", Verdict.WARN, "; ".join(doubts), remedy)
    else:
        yield Check("settings", Verdict.OK, "complete for a deployment")

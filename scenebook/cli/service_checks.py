"""Checks of a service at SCENEBOOK_URL, as somebody far from its machines can make them."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from time import time
from urllib.parse import urlsplit

import httpx

from scenebook.cli.alive import clock
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.remote import at_service
from scenebook.cli.setting_checks import bare
from scenebook.errors import ScenebookError
from scenebook.settings import Settings

TIMEOUT_S = 20.0


def check_service(settings: Settings) -> Iterator[Check]:
    """It answers, is ready, tells our time and takes the key."""
    base = (settings.scenebook_url or "").strip().rstrip("/")
    try:
        began = time()
        lives = httpx.get(f"{base}/livez", timeout=TIMEOUT_S)
        ended = time()
        ready = httpx.get(f"{base}/readyz", timeout=TIMEOUT_S)
    except (httpx.RequestError, httpx.InvalidURL) as error:
        remedy = "Check SCENEBOOK_URL, and that the service runs."
        yield Check("service", Verdict.FAIL, f"{bare(base)}: {type(error).__name__}", remedy)
        return
    yield _lives(base, lives, took_s=ended - began)
    yield _ready(ready)
    if "date" in lives.headers:  # in whole seconds
        theirs = parsedate_to_datetime(lives.headers["date"]).timestamp() + 0.5
        ahead_s = theirs - (began + ended) / 2
        yield clock(ahead_s, what="the service", round_trip_s=1.0 + ended - began)
    yield _key(settings)


def _lives(base: str, answer: httpx.Response, *, took_s: float) -> Check:
    shown = f"{bare(base)} answers in {took_s * 1000:.0f} ms"
    if answer.status_code != 200:
        remedy = "Does SCENEBOOK_URL lead to Scenebook, without a path that is not its own?"
        return Check("service", Verdict.FAIL, f"{shown} with {answer.status_code}", remedy)
    if urlsplit(base).scheme == "http" and not _near(urlsplit(base).hostname or ""):
        remedy = "Use https: whoever is between reads the key."
        return Check("service", Verdict.WARN, f"{shown}, without encryption", remedy)
    return Check("service", Verdict.OK, shown)


def _near(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ready(answer: httpx.Response) -> Check:
    try:
        said = answer.json()
        reasons, degraded = "; ".join(said["reasons"]), "; ".join(said["degraded"])
    except (ValueError, LookupError, TypeError):
        remedy = "Does SCENEBOOK_URL lead to Scenebook?"
        return Check("ready", Verdict.FAIL, f"/readyz answers {answer.status_code}", remedy)
    if answer.status_code != 200:
        return Check("ready", Verdict.FAIL, reasons, "Run `scenebook doctor` on its machine.")
    if degraded:
        return Check("ready", Verdict.WARN, degraded, "Run `scenebook doctor` on its machine.")
    return Check("ready", Verdict.OK, "nothing is missing")


def _key(settings: Settings) -> Check:
    try:
        with at_service(settings, owner=None) as place:
            next(iter(place.client.videos(page_size=1)), None)
    except ScenebookError as error:
        remedy = "Set SCENEBOOK_API_KEY: `scenebook keys create NAME` there makes one."
        return Check("key", Verdict.FAIL, str(error), remedy)
    if settings.scenebook_api_key is None:
        return Check("key", Verdict.OFF, "none is needed", "AUTH_MODE=dev is for one machine only.")
    return Check("key", Verdict.OK, "accepted")

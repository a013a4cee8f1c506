"""`scenebook doctor`: what is missing here or at a service, and whether the whole way is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.text import Text

from scenebook.cli import alive, checks, libraries
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.commands import AsJson, Owner, app, quiet_settings, working_anywhere
from scenebook.cli.output import answer, answers, notes
from scenebook.cli.workplace import servers
from scenebook.db import migrate
from scenebook.errors import ScenebookError
from scenebook.settings import Settings

STYLES = {Verdict.OK: "green", Verdict.OFF: "dim", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
MARKS = {Verdict.OK: "✓", Verdict.OFF: "–", Verdict.WARN: "!", Verdict.FAIL: "✗"}


@app.command()
def doctor(
    canary: Annotated[
        bool, typer.Option("--canary", help="Send a small video all the way, and remove it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds that the canary may take.")
    ] = 180,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, or the service at SCENEBOOK_URL, and explain how to mend it."""
    found: list[Check] = []

    def tell(check: Check) -> None:
        found.append(check)
        if not as_json:
            answers().print(_line(check), soft_wrap=True)

    try:
        for check in diagnose(quiet_settings("ERROR")):
            tell(check)
    except ScenebookError as error:  # the settings themselves
        tell(Check("settings", Verdict.FAIL, str(error), "Correct the variable."))
    else:
        if canary:
            send_canary(owner, timeout_s=timeout, tell=tell)
    healthy = all(check.verdict is not Verdict.FAIL for check in found)
    if as_json:
        shape = {"ok": healthy, "checks": [_shape(check) for check in found]}
        answer(shape, "", as_json=True)
    if not healthy:
        raise typer.Exit(1)


def diagnose(settings: Settings) -> Iterator[Check]:
    """Every check in the order in which to mend things."""
    from scenebook.cli import service_checks, setting_checks  # HTTP takes a moment to load

    yield checks.check_python()
    if settings.scenebook_url is not None:
        yield from service_checks.check_service(settings)
        return
    notes().print("Loading libraries and models takes a while.")
    yield from checks.check_packages()
    yield from libraries.check_libraries()
    yield from checks.check_disk(settings)
    yield from setting_checks.check_settings(settings)
    if settings.database_url is None or settings.redis_url is None:
        yield from checks.check_embedded()
    yield from _server_checks(settings)
    yield checks.check_storage(settings)
    yield from checks.check_models(settings)
    yield setting_checks.check_key(settings)


def _server_checks(settings: Settings) -> Iterator[Check]:
    try:
        with servers(settings) as (filled, own):
            url = filled.database_url
            assert url is not None
            if own is not None:
                migrate.upgrade(url)
            embedded = settings.database_url is None
            reached = list(checks.check_database(url, embedded=embedded))
            yield from reached
            yield from libraries.check_database(url, embedded=embedded)
            if filled.redis_url is not None:
                yield checks.check_broker(filled.redis_url)
                yield libraries.check_redis(filled.redis_url)
            else:
                remedy = "Set REDIS_URL, or `scenebook up` starts an embedded one."
                yield Check("redis", Verdict.OFF, "REDIS_URL is not set", remedy)
            if own is not None:
                remedy = "`scenebook up` starts a worker and a relay."
                yield Check("processes", Verdict.OFF, "nothing runs here", remedy)
            elif all(check.verdict is not Verdict.FAIL for check in reached):
                yield alive.check_clock(url)
                yield from alive.check_processes(url)
                if filled.redis_url is not None:
                    yield alive.check_listeners(filled.redis_url, url)
    except ScenebookError as error:
        remedy = "See the message, or set DATABASE_URL and REDIS_URL."
        yield Check("embedded servers", Verdict.FAIL, str(error), remedy)


def send_canary(owner: str | None, *, timeout_s: float, tell: Callable[[Check], None]) -> None:
    """A canary for the owner of the command, wherever everyday commands work."""
    from scenebook.cli import canary, canary_views

    try:
        with working_anywhere(owner) as place:
            canary.fly(place, canary_views.of(place), timeout_s=timeout_s, tell=tell)
    except ScenebookError as error:
        tell(Check("canary", Verdict.FAIL, str(error), "See the checks above."))


def _shape(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "detail": check.detail,
        "remedy": check.remedy,
        "seconds": check.seconds,
    }


def _line(check: Check) -> Text:
    line = Text(f"{MARKS[check.verdict]} ", STYLES[check.verdict])
    line.append(check.name, "bold").append(f": {check.detail}")
    if check.seconds is not None:
        line.append(f" ({check.seconds:.1f} s)", "dim")
    if check.remedy:
        line.append(f"\n  → {' '.join(check.remedy.split())}")
    return line

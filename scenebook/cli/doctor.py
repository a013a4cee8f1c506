"""`scenebook doctor`: what is missing on this machine, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from rich.text import Text

from scenebook.cli import checks, libraries
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.commands import AsJson, Owner, app, quiet_settings
from scenebook.cli.output import answer, notes
from scenebook.cli.workplace import servers
from scenebook.db import migrate
from scenebook.errors import ScenebookError
from scenebook.settings import Settings

STYLES = {Verdict.OK: "green", Verdict.OFF: "dim", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


@app.command()
def doctor(owner: Owner = None, as_json: AsJson = False) -> None:
    """Check this machine and explain how to mend what is missing."""
    with notes().status("Checking; loading models takes a while…"):
        try:
            found = list(diagnose(quiet_settings("ERROR")))
        except ScenebookError as error:  # the settings themselves
            found = [Check("settings", Verdict.FAIL, str(error), "Correct the variable.")]
    healthy = all(check.verdict is not Verdict.FAIL for check in found)
    answer(
        {
            "ok": healthy,
            "checks": [
                {
                    "name": check.name,
                    "verdict": check.verdict,
                    "detail": check.detail,
                    "remedy": check.remedy,
                }
                for check in found
            ],
        },
        _list(found),
        as_json=as_json,
    )
    if not healthy:
        raise typer.Exit(1)


def diagnose(settings: Settings) -> Iterator[Check]:
    """Every check in the order in which to mend things."""
    yield checks.check_python()
    yield from checks.check_packages()
    yield from libraries.check_libraries()
    yield from checks.check_disk(settings)
    if settings.database_url is None or settings.redis_url is None:
        yield from checks.check_embedded()
    yield from _server_checks(settings)
    yield checks.check_storage(settings)
    yield from checks.check_models(settings)


def _server_checks(settings: Settings) -> Iterator[Check]:
    try:
        with servers(settings) as (filled, own):
            assert filled.database_url is not None
            if own is not None:
                migrate.upgrade(filled.database_url)
            embedded = settings.database_url is None
            yield from checks.check_database(filled.database_url, embedded=embedded)
            yield from libraries.check_database(filled.database_url, embedded=embedded)
            if filled.redis_url is not None:
                yield checks.check_broker(filled.redis_url)
                yield libraries.check_redis(filled.redis_url)
            else:
                remedy = "Set REDIS_URL, or `scenebook up` starts an embedded one."
                yield Check("redis", Verdict.OFF, "REDIS_URL is not set", remedy)
    except ScenebookError as error:
        remedy = "See the message, or set DATABASE_URL and REDIS_URL."
        yield Check("embedded servers", Verdict.FAIL, str(error), remedy)


def _list(found: list[Check]) -> Text:
    lines = Text()
    for check in found:
        lines.append(f"{check.verdict:<5}", STYLES[check.verdict])
        lines.append(f"{check.name}", "bold").append(f": {check.detail}\n")
        if check.remedy:
            lines.append(f"     → {' '.join(check.remedy.split())}\n")
    lines.rstrip()
    return lines

"""`scenebook up`: servers, worker and relay in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import structlog

from scenebook import logs
from scenebook.cli.commands import app
from scenebook.cli.output import notes
from scenebook.cli.supervisor import Supervisor
from scenebook.cli.workplace import filled_in, require_broker, require_current_schema
from scenebook.db import migrate
from scenebook.embedded import EmbeddedServices
from scenebook.settings import Settings, get_settings

log = structlog.get_logger(__name__)

TICK_S = 0.25


@app.command()
def up() -> None:
    """Run what is needed to index videos: embedded servers, one worker and one relay."""
    settings = get_settings()
    logs.configure(settings)
    with stop_requested() as stop, ExitStack() as stack:
        # Only a database of our own is migrated unasked.
        ours = settings.database_url is None
        require_broker(settings)
        embedded = None
        if not (settings.database_url and settings.redis_url):
            embedded = stack.enter_context(EmbeddedServices(settings.scenebook_data_dir))
            settings = filled_in(settings, embedded.database_url, embedded.redis_url)
        prepare_schema(settings, ours=ours)
        supervisor = stack.enter_context(Supervisor(settings, log_dir=None))
        notes().print(
            "Scenebook is up. In another terminal: `scenebook index FILE`. Ctrl-C stops it."
        )
        while not stop.wait(TICK_S):
            if embedded is not None:
                embedded.check()
            supervisor.check()
        notes().print("Stopping…")


def prepare_schema(settings: Settings, *, ours: bool) -> None:
    """Migrate our own database; demand that somebody else's is migrated."""
    assert settings.database_url is not None
    if ours:
        migrate.upgrade(settings.database_url)
    else:
        require_current_schema(settings.migrations_database_url or settings.database_url)


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of interrupting whatever is going on."""
    stop = threading.Event()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

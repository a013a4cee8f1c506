"""`scenebook up`: servers, worker, relay and the API in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import structlog

from scenebook import logs
from scenebook.cli.commands import app
from scenebook.cli.output import notes
from scenebook.cli.supervisor import API, Supervisor
from scenebook.cli.workplace import filled_in, require_broker, require_current_schema, require_here
from scenebook.db import migrate
from scenebook.embedded import EmbeddedServices
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings, get_settings

log = structlog.get_logger(__name__)

TICK_S = 0.25


@app.command()
def up() -> None:
    """Run all of Scenebook: embedded servers, one worker, one relay and the API."""
    settings = get_settings()
    logs.configure(settings)
    require_here(settings)
    with stop_requested() as stop, ExitStack() as stack:
        # Only a database of our own is migrated unasked.
        ours = settings.database_url is None
        require_broker(settings)
        embedded = None
        if not (settings.database_url and settings.redis_url):
            embedded = stack.enter_context(EmbeddedServices(settings.scenebook_data_dir))
            settings = filled_in(settings, embedded.database_url, embedded.redis_url)
        require_port(settings)  # after the lock of the servers: that is a clearer answer
        settings = open_to_this_machine(settings, ours=ours)
        prepare_schema(settings, ours=ours)
        supervisor = stack.enter_context(Supervisor(settings, log_dir=None, others=[API]))
        notes().print(
            f"Scenebook is up. In a browser: {address(settings)}/. In another terminal: "
            "`scenebook index FILE`. Ctrl-C stops it."
        )
        while not stop.wait(TICK_S):
            if embedded is not None:
                embedded.check()
            supervisor.check()
        notes().print("Stopping…")


def require_port(settings: Settings) -> None:
    """Raise ConfigurationError if somebody else listens where the API would."""
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((settings.api_host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"The API cannot listen on {settings.api_host} port {settings.port}: "
                f"{error.strerror}. Set PORT to a free one, or stop what runs there."
            ) from None


def open_to_this_machine(settings: Settings, *, ours: bool) -> Settings:
    """With a database of our own, and unless told otherwise, nobody on this machine signs in."""
    chosen = "auth_mode" in settings.model_fields_set
    if chosen or not ours or not settings.on_loopback:
        return settings
    return settings.model_copy(update={"auth_mode": "dev"})


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the API."""
    host = {"::": "localhost", "0.0.0.0": "localhost"}.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


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

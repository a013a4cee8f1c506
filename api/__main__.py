"""The api process: `python -m api`."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.connections import Connection
from api.memory import give_large_blocks_back
from scenebook import logs
from scenebook.db.engine import Role, check_role
from scenebook.errors import ConfigurationError, ScenebookError
from scenebook.settings import Settings, get_settings

# Longer than any proxy keeps an idle connection, so that it is not ours to close it first.
KEEP_ALIVE_S = 75
DRAIN_S = 25


class Server(uvicorn.Server):
    """Ends event streams when it is told to stop; they would hold it up for all of DRAIN_S."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish, streams first."""
        self._app.state.services.streams.end()
        await super().shutdown(sockets)


def listening(settings: Settings) -> socket.socket:
    """The socket that requests arrive at; that of `::` takes IPv4 as well.

    Raises ConfigurationError if it cannot be had.
    """
    address = (settings.api_host, settings.port)
    try:
        if settings.api_host == "::" and socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
        return socket.create_server(address, family=family)
    except OSError as error:
        raise ConfigurationError(
            f"Nobody can listen on {settings.api_host} port {settings.port}: {error.strerror}. "
            "Set PORT to a free one, or stop what runs there."
        ) from None


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    give_large_blocks_back()
    settings = get_settings()
    logs.configure(settings)
    app = create_app(settings)
    if settings.database_url is not None:
        check_role(settings.database_url, Role.API)
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = Server(config, app)
    # A signal is raised again when everything is closed; having been asked to end is no failure.
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        server.run(sockets=[listening(settings)])
    if not server.started:
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except ScenebookError as problem:
        raise SystemExit(f"scenebook api: {problem}") from None

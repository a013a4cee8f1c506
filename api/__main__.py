"""The api process: `python -m api`."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from scenebook import logs
from scenebook.errors import ScenebookError
from scenebook.settings import get_settings

# Longer than any proxy keeps an idle connection, so that it is not ours to close it first.
KEEP_ALIVE_S = 75
DRAIN_S = 25


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = get_settings()
    logs.configure(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


if __name__ == "__main__":
    try:
        main()
    except ScenebookError as problem:
        raise SystemExit(f"scenebook api: {problem}") from None

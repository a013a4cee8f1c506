"""The application: its routes, its doors, and what it opens and closes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import (
    door,
    events,
    health,
    keys,
    media,
    postgrest,
    problems,
    quick,
    search,
    tus,
    uploads,
    videos,
    webhooks,
)
from api.shared import Services
from scenebook.settings import Settings

ROUTERS = (
    health.router,
    uploads.router,
    tus.router,
    videos.router,
    events.router,
    media.router,
    search.router,
    quick.router,
    webhooks.router,
    keys.router,
    postgrest.router,
)


def create_app(settings: Settings) -> FastAPI:
    """The application with these settings; it connects when it starts.

    Raises ConfigurationError.
    """
    Services.check(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads = anyio.to_thread.current_default_thread_limiter()
        threads.total_tokens = settings.api_threads
        app.state.services = Services.make(settings)
        try:
            yield
        finally:
            app.state.services.close()

    # Its /docs loads nothing from elsewhere.
    app = FastAPIOffline(
        title="Scenebook",
        summary="Search inside videos: what is said and what is seen.",
        version="1",
        lifespan=lifespan,
        responses=problems.responses(400, 413, 414, 431, 500, 503),  # the door's
    )
    problems.install(app)
    door.install(app, settings)
    for router in ROUTERS:
        app.include_router(router)
    return app

"""The application: its routes, its doors, and what it opens and closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import (
    door,
    events,
    health,
    keys,
    me,
    media,
    operations,
    page,
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
    me.router,
    operations.router,
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

    app = _application(settings)(
        title="Scenebook",
        summary="Search inside videos: what is said and what is seen.",
        version="1",
        lifespan=lifespan,
        responses=problems.responses(400, 408, 413, 414, 431, 500, 503),  # the door's
    )
    problems.install(app)
    door.install(app, settings)
    for router in ROUTERS:
        app.include_router(router)
    if settings.api_page:
        page.install(app)
    return app


def _application(settings: Settings) -> Callable[..., FastAPI]:
    """What makes the application, with pages about it or without."""
    if settings.api_docs:
        return FastAPIOffline  # its /docs loads nothing from elsewhere
    return partial(FastAPI, openapi_url=None, docs_url=None, redoc_url=None)

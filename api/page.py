"""The page: what Vite built from `web/`, under the paths that its router knows."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

router = APIRouter(include_in_schema=False)

# The routes of web/src/main.tsx; whatever else is asked is a 404 of the API.
PATHS = ("/", "/search", "/videos/{video_id}", "/scenes/{scene_id}", "/operations")
# Nothing from elsewhere, nothing inline; pictures and videos are ours, or of this very tab.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
# Names carry the hash of what is in the files.
FOR_EVER = b"public, max-age=31536000, immutable"
NOT_BUILT = (
    "The page is not built here. Run `make page` and start again; the API works without it, and "
    "/docs describes it."
)


def built() -> Path:
    """Where Vite puts the page, and the wheel carries it."""
    return Path(str(resources.files("api"))) / "page"


def install(app: FastAPI) -> None:
    """Serve the page and what it loads."""
    app.include_router(router)
    assets = StaticFiles(directory=built() / "assets", check_dir=False)
    app.mount("/assets", GZipMiddleware(Kept(assets), minimum_size=500), name="assets")


def page() -> Response:
    """The same document for all of them: its router shows what the path names."""
    try:
        document = (built() / "index.html").read_bytes()
    except FileNotFoundError:
        return Response(NOT_BUILT, status_code=503, media_type="text/plain", headers=HEADERS)
    return Response(document, media_type="text/html", headers=HEADERS)


for path in PATHS:
    router.add_api_route(path, page, methods=["GET", "HEAD"])


class Kept:
    """Lets browsers keep what was found; what was not found may be there tomorrow."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 304):
                message["headers"].append((b"cache-control", FOR_EVER))
            await send(message)

        await self.app(scope, receive, say)

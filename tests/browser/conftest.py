"""A running system with some videos, and Chromium to look at its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from scenebook.client import Scenebook
from scenebook.settings import Settings
from scenebook.videos import owner_from
from tests.pipelines import settings_for
from tests.postgres import Server
from tests.serving import running_api, with_tokens
from tests.stack import Stack, short_leases

if TYPE_CHECKING:  # the package is installed by `make test-browser`
    from playwright.sync_api import Browser, Page

MEDIA = Path(__file__).parents[1] / "media"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS = 30_000
DESKTOP = {"width": 1440, "height": 900}
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@dataclass(frozen=True)
class Site:
    """Where the page is served, and what its owner has."""

    url: str
    settings: Settings
    spoken: UUID
    figures: UUID
    partial: UUID
    scene: UUID


@pytest.fixture(scope="session")
def site(
    postgres_server: Server, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """API, relay and worker with the shipped models, and three videos."""
    directory = tmp_path_factory.mktemp("site")
    with postgres_server.database() as url:
        changes = short_leases(redis_url) | {"clip_model_name": "figures", "auth_mode": "dev"}
        settings = with_tokens(settings_for(url, directory, text_embedding_provider="local"))
        settings = settings.model_copy(update=changes)
        owner_id = owner_from(settings.scenebook_owner)
        with psycopg.connect(url) as connection:
            connection.execute("insert into public.owners (id) values (%s)", (owner_id,))
        stack = Stack(settings)
        try:
            stack.start_worker()
            stack.start_relay()
            with running_api(settings) as base:
                with Scenebook(base) as client:
                    spoken = client.upload(
                        MEDIA / "composite_dev.mp4",
                        title="Composite",
                        transcript=MEDIA / "composite_dev.vtt",
                    )
                    drawn = client.upload(MEDIA / "figures.mp4", title="Figures")
                    cut_off = client.upload(
                        _half(MEDIA / "composite_dev.mp4", directory), title="Half"
                    )
                    for one, status in ((spoken, "ready"), (drawn, "ready"), (cut_off, "partial")):
                        assert client.wait(one.id).status == status
                    scene = next(iter(client.scenes(drawn.id)))
                yield Site(base, settings, spoken.id, drawn.id, cut_off.id, scene.id)
        finally:
            stack.close()


def _half(video: Path, directory: Path) -> Path:
    """A copy of which the end is missing."""
    copy = directory / "half.mp4"
    copy.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    return copy


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program is not None, "Chromium is missing: `make test-browser` installs it"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=[*CHROMIUM])
        yield launched
        launched.close()


class Visit:
    """A tab, and what went wrong in it: errors, refusals of the policy, calls to elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self._context = browser.new_context(
            base_url=url, **({"viewport": DESKTOP, "locale": "en-GB"} | options)
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self._asked(request.url, url))

    def _said(self, message: Any) -> None:
        # Chromium logs every answer that is no 2xx; what the page makes of those is tested.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(f"console: {message.text}")

    def _asked(self, asked: str, base: str) -> None:
        if not asked.startswith((base, "blob:", "data:")):
            self.wrong.append(f"elsewhere: {asked}")

    def close(self) -> None:
        """End the visit; nothing may have gone wrong in it."""
        self._context.close()
        assert self.wrong == []


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """A visit of the owner on a desktop."""
    made = Visit(browser, site.url)
    yield made
    made.close()


@pytest.fixture
def page(visit: Visit) -> Page:
    """The tab of such a visit."""
    return visit.page

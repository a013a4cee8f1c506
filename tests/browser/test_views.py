"""Every view: accessible, of one origin, small, at rest while it loads, at three widths."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import SCREENSHOTS, Site, Visit
from tests.serving import running_api

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
MOST_BYTES = 200_000
# What each view shows when it is all there, by its path.
VIEWS = {
    "library": ("/", "Composite"),
    "search": ("/search?q=a+red+circle", "Figures"),
    "search-by-video": ("/search?q=a+red+circle&by=video", "Figures"),
    "search-nothing": ("/search", ""),
    "player": ("/videos/{spoken}?q=beer", "It takes heat to bring out"),
    "player-without-query": ("/videos/{figures}", "Figures"),
    "scene": ("/scenes/{scene}", "More like this"),
    "operations": ("/operations", "Dead letters"),
    "not-found": ("/videos/00000000-0000-4000-8000-000000000000", "There is no"),
}


def path_of(view: str, site: Site) -> str:
    """The path of a view, with ids of this site."""
    return VIEWS[view][0].format(spoken=site.spoken, figures=site.figures, scene=site.scene)


def opened(page: Page, site: Site, view: str) -> None:
    """Open a view and wait until it shows what it is about."""
    page.goto(path_of(view, site))
    page.locator("h1").first.wait_for()
    if VIEWS[view][1]:
        page.get_by_text(VIEWS[view][1]).first.wait_for()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_to_mend(browser: Browser, site: Site, view: str, colours: Any) -> None:
    for width in (WIDTHS["desktop"], WIDTHS["phone"]):
        size = {"width": width[0], "height": width[1]}
        visit = Visit(browser, site.url, color_scheme=colours, viewport=size)
        opened(visit.page, site, view)
        _agrees(visit)


def test_axe_finds_nothing_to_mend_in_what_opens_on_demand(browser: Browser, site: Site) -> None:
    opens = {
        "library": ("What is missing", "Import from a URL"),
        "search": ("Filters", "Exact"),
        "player": ("Keyboard shortcuts",),
        "scene": ("JSON",),
    }
    for view, names in opens.items():
        for name in names:
            visit = Visit(browser, site.url)
            opened(visit.page, site, view)
            visit.page.locator("button, summary").filter(has_text=name).first.click()
            visit.page.wait_for_load_state("networkidle")
            _agrees(visit)


def test_axe_finds_nothing_to_mend_where_one_signs_in(browser: Browser, site: Site) -> None:
    with running_api(site.settings, auth_mode="token") as url:
        visit = Visit(browser, url)
        visit.page.goto("/")
        visit.page.get_by_role("heading", name="Sign in").wait_for()
        _agrees(visit)


def _agrees(visit: Visit) -> None:
    """End a visit in which axe finds nothing."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()
    visit.close()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_moves_while_a_view_loads(browser: Browser, site: Site, view: str) -> None:
    visit = Visit(browser, site.url)
    visit.page.add_init_script("""
        window.shifts = [];
        new PerformanceObserver((list) => {
            for (const one of list.getEntries()) {
                const moved = one.sources.map((s) => s.node?.outerHTML?.slice(0, 120));
                window.shifts.push([one.value, moved]);
            }
        }).observe({ type: "layout-shift", buffered: true });
    """)
    opened(visit.page, site, view)
    assert visit.page.evaluate("window.shifts") == []
    visit.close()


def test_all_views_together_load_little(browser: Browser, site: Site) -> None:
    visit = Visit(browser, site.url)
    loaded: dict[str, int] = {}
    visit.page.on("requestfinished", lambda request: loaded.update(_loaded(request)))
    for view in VIEWS:
        opened(visit.page, site, view)
    assert any(name.endswith(".js") for name in loaded)
    assert sum(loaded.values()) <= MOST_BYTES, loaded
    visit.close()


def _loaded(request: Any) -> dict[str, int]:
    """The bytes that came for a part of the page itself."""
    if request.resource_type not in ("document", "script", "stylesheet", "font"):
        return {}
    sizes = request.sizes()
    return {request.url.partition("?")[0]: sizes["responseBodySize"]}


@pytest.mark.parametrize(("width", "colours"), product(WIDTHS, ["light", "dark"]))
def test_every_view_fits_its_screen(browser: Browser, site: Site, width: str, colours: Any) -> None:
    """The pictures are left in build/screenshots, for people to look at."""
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    visit = Visit(browser, site.url, color_scheme=colours, viewport=size)
    for view in VIEWS:
        opened(visit.page, site, view)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        visit.page.screenshot(path=SCREENSHOTS / f"{view}-{width}-{colours}.png", full_page=True)
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], f"{view} must be scrolled sideways"
    visit.close()

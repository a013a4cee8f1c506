"""A page that stays open: URLs that expire, searches one after another, owners who take turns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from scenebook.videos import owner_from
from tests.browser.conftest import Site, Visit
from tests.serving import running_api, token_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

STRANGER = UUID("b0b00000-0000-4000-8000-000000000010")
ALL_SHOWN = """() => {
    const pictures = [...document.querySelectorAll('main img')].filter((one) => one.src);
    return pictures.length > 0 && pictures.every((one) => one.naturalWidth > 0);
}"""


@pytest.mark.parametrize("path", ["/", "/search?q=a+red+circle&by=video", "/scenes/{scene}"])
def test_pictures_whose_urls_have_expired_are_shown_all_the_same(
    page: Page, site: Site, path: str
) -> None:
    expired: list[str] = []

    def refuse(route: Route) -> None:
        expired.append(route.request.url)
        route.fulfill(status=410, json={"code": "expired"})

    page.route(re.compile(r"/v1/keyframes/.*\?token="), refuse)
    page.goto(path.format(scene=site.scene))
    page.wait_for_function(ALL_SHOWN)
    assert expired


def test_nothing_moves_while_one_search_follows_another(visit: Visit) -> None:
    page = visit.page
    page.goto("/search?q=a+red+circle")
    page.locator("[data-hit]").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("""() => {
        window.shifts = [];
        new PerformanceObserver((list) => {
            for (const one of list.getEntries())
                window.shifts.push(one.sources.map((s) => s.node?.outerHTML?.slice(0, 120)));
        }).observe({ type: "layout-shift" });
    }""")
    page.route("**/v1/search", _slowly)
    with page.expect_response("**/v1/search"):
        # No finger and no mouse: what moves just after those is not counted.
        page.get_by_role("radio", name="Words first").dispatch_event("click")
    page.locator(".found[aria-busy=false]").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shifts") == []


def _slowly(route: Route) -> None:
    """Answer as the service does, with a longer number in it."""
    answer = route.fetch()
    said = answer.json()
    said["timing_ms"]["total"] += 1000
    route.fulfill(response=answer, json=said)


def test_whoever_signs_in_after_another_finds_nothing_of_theirs(
    browser: Browser, site: Site
) -> None:
    with running_api(site.settings, auth_mode="token") as url:
        visit = Visit(browser, url)
        page = visit.page
        page.goto("/search?q=a+red+circle")
        _sign_in(page, owner_from(site.settings.scenebook_owner))
        page.locator("[data-hit]").first.wait_for()
        assert page.evaluate("document.activeElement.id") == "main"

        page.evaluate("window.known = 'what this page has in its memory'")
        page.route("**/v1/videos?*", lambda it: it.fulfill(status=401, json={"detail": "Expired."}))
        page.get_by_role("link", name="Library").click()
        page.get_by_role("alert").filter(has_text="Expired.").wait_for()
        page.unroute("**/v1/videos?*")
        _sign_in(page, STRANGER)
        page.get_by_text("Drop a video here").wait_for()
        assert page.evaluate("window.known") is None
        page.get_by_role("link", name="Search", exact=True).click()
        page.get_by_label("What to look for").fill("a red circle")
        page.get_by_text("There are no videos yet.").wait_for()
        assert page.locator("[data-hit]").count() == 0
        visit.close()


def _sign_in(page: Page, owner_id: UUID) -> None:
    page.get_by_label("API key, or a session's token").fill(token_of(owner_id))
    page.keyboard.press("Enter")

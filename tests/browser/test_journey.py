"""What people do with the page: add, watch, find, look closer, mend, delete; also by keyboard."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from scenebook.client import Scenebook
from tests.browser.conftest import MEDIA, Site, Visit
from tests.serving import running_api, token_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

# Indexing here runs beside a browser on two cores.
INDEXED_MS = 90_000


def test_from_a_dropped_file_to_the_moment_and_to_its_deletion(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit.page
    film = tmp_path / "A shell game.mp4"
    film.write_bytes((MEDIA / "composite_dev.mp4").read_bytes() + b"\0")  # no duplicate of another
    page.goto("/")
    dropped(page, film)
    card = card_of(page, "A shell game")
    card.get_by_role("progressbar").wait_for()
    card.get_by_text("ready", exact=True).wait_for(timeout=INDEXED_MS)
    assert card.locator("img").evaluate(
        "async (img) => { await img.decode(); return img.naturalWidth }"
    )

    searched(page, "a red circle")
    page.get_by_role("link", name=re.compile("Figures")).first.click()
    page.wait_for_url(
        re.compile(r"/videos/.*\bt=\d+.*q=a\+red\+circle|/videos/.*q=a\+red\+circle.*t=\d+")
    )
    wanted_s = int(re.findall(r"[?&]t=(\d+)", page.url)[0]) / 1000
    page.wait_for_function(
        "wanted => Math.abs(document.querySelector('video')?.currentTime - wanted) < 1.5"
        " && document.querySelector('video').readyState >= 2",
        arg=wanted_s,
    )
    page.get_by_role("button", name=re.compile(r"^Scene \d+, .* rank 1$")).wait_for()

    page.goto("/")
    card_of(page, "A shell game").get_by_role("button", name="Delete A shell game").click()
    card_of(page, "A shell game").wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    card_of(page, "A shell game").wait_for()
    with page.expect_response(lambda it: it.request.method == "DELETE", timeout=20_000) as deleted:
        card_of(page, "A shell game").get_by_role("button", name="Delete A shell game").click()
    assert deleted.value.status == 202
    page.reload()
    card_of(page, "Figures").wait_for()
    assert card_of(page, "A shell game").count() == 0


def dropped(page: Page, film: Path) -> None:
    """Let go of a file over the page."""
    files = page.evaluate_handle(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const files = new DataTransfer();
            files.items.add(new File([bytes], name, { type: "video/mp4" }));
            return files;
        }""",
        [film.name, base64.b64encode(film.read_bytes()).decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": files})


def card_of(page: Page, title: str) -> Locator:
    """The card of a video in the library."""
    return page.get_by_role("list", name="Videos").get_by_role("listitem").filter(has_text=title)


def searched(page: Page, words: str) -> None:
    """Search for words, and wait for the answer."""
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("What to look for").fill(words)
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"\d+ scenes? found|The best \d+ scenes?")).wait_for()


def test_a_hit_leads_to_scenes_like_it_and_to_all_that_is_known_of_them(page: Page) -> None:
    page.goto("/search?q=beer")
    spoken = page.locator("[data-hit]").filter(has_text="words #1")
    spoken.get_by_role("link", name="More like this").click()
    page.get_by_text("Like the scene").wait_for()
    page.wait_for_url(re.compile("like="))
    page.locator("[data-hit]").first.get_by_role("link", name="Scene details").click()
    page.get_by_role("heading", level=1, name=re.compile(r"Scene \d+")).wait_for()
    assert page.locator("img").count() >= 1
    page.get_by_text("figures", exact=False).first.wait_for()  # the model of the picture's vector
    page.locator("summary", has_text="JSON").click()
    assert '"channels"' in page.get_by_label("The scene as JSON").inner_text()


def test_a_picture_is_searched_for_and_a_link_to_a_text_search_can_be_shared(
    browser: Browser, site: Site, page: Page
) -> None:
    with Scenebook(site.url) as client:
        keyframe = client.scene(site.scene).keyframes[0]
        picture = client.keyframe(keyframe.id)
    page.goto("/search")
    page.get_by_label("Picture to look for").set_input_files(
        {"name": "like.jpg", "mimeType": "image/jpeg", "buffer": picture}
    )
    page.get_by_text("like.jpg").wait_for()
    page.locator("[data-hit]").first.wait_for()
    assert f"/videos/{site.figures}" in str(
        page.locator("[data-hit] a").first.get_attribute("href")
    )

    page.goto("/search?q=beer&mode=text_heavy&by=video")
    page.locator("[data-hit]").first.wait_for()
    titles = page.locator("[data-hit] h3").all_inner_texts()
    assert page.locator("[data-hit] mark").first.inner_text().lower() == "beer"
    shared = Visit(browser, site.url)
    shared.page.goto(page.url)
    shared.page.locator("[data-hit]").first.wait_for()
    assert shared.page.locator("[data-hit] h3").all_inner_texts() == titles
    shared.close()


def test_the_transcript_follows_and_goes_where_it_is_clicked(page: Page, site: Site) -> None:
    page.goto(f"/videos/{site.spoken}?q=beer")
    line = page.get_by_role("button", name=re.compile("A cold dip restores"))
    line.click()
    page.wait_for_function(
        "() => Math.abs(document.querySelector('video').currentTime - 9.05) < 0.6"
    )
    page.locator(".transcript [aria-current=true]", has_text="A cold dip restores").wait_for()
    assert page.locator(".transcript mark").first.inner_text() == "beer"


def test_a_search_is_made_and_its_hits_are_gone_through_without_a_mouse(page: Page) -> None:
    page.goto("/")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Skip to the content"
    page.get_by_role("link", name="Search", exact=True).press("Enter")
    page.get_by_label("What to look for").focus()
    page.keyboard.type("red circle")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"\d+ scenes? found|The best \d+ scenes?")).wait_for()
    page.locator(".hit-play").first.focus()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.locator(".hit-play").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.hit-play')[1]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 1")
    page.locator(".place .relevance .rank").first.wait_for()
    page.evaluate("document.querySelector('video').pause()")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    began = page.evaluate("document.querySelector('video').currentTime")
    page.keyboard.press("n")
    page.wait_for_function("was => document.querySelector('video').currentTime !== was", arg=began)


def test_what_failed_says_why_and_what_is_partial_says_what_is_missing(
    page: Page, site: Site, tmp_path: Path
) -> None:
    page.goto("/")
    page.get_by_label("Videos to upload").set_input_files(
        {"name": "letter.mp4", "mimeType": "video/mp4", "buffer": b"Dear Sir or Madam, " * 99}
    )
    failed = card_of(page, "letter")
    failed.get_by_text("failed", exact=True).wait_for(timeout=INDEXED_MS)
    with page.expect_response(lambda it: it.url.endswith("/retry")) as retried:
        failed.get_by_role("button", name=re.compile("Retry this stage")).click()
    assert retried.value.status == 202
    failed.get_by_text("failed", exact=True).wait_for(timeout=INDEXED_MS)

    card_of(page, "Half").get_by_role("button", name=re.compile("What is missing")).click()
    dialog = page.get_by_role("dialog", name="Half")
    dialog.get_by_text(re.compile(r"only \d+\.\d s of 42\.\d s could be read")).wait_for()
    # Trying again does not make a damaged file whole.
    assert dialog.get_by_role("button", name=re.compile("Retry")).count() == 0
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    with Scenebook(site.url) as client:
        [letter] = [one for one in client.videos() if one.title.startswith("letter")]
        client.delete(letter.id)


def test_an_upload_outlives_an_outage_of_the_network(
    visit: Visit, site: Site, tmp_path: Path
) -> None:
    page = visit.page
    film = tmp_path / "long.mp4"
    content = (MEDIA / "composite_dev.mp4").read_bytes()
    film.write_bytes(content + b"\1" * 30_000_000)  # what follows a film is not looked at
    page.goto("/")
    outage = re.compile("/v1/uploads/")
    page.route(outage, lambda route: route.abort("internetdisconnected"))
    page.get_by_label("Videos to upload").set_input_files(film)
    page.get_by_text("Waiting for the network").wait_for()
    page.unroute(outage)
    card_of(page, "long").get_by_text("ready", exact=True).wait_for(timeout=INDEXED_MS)
    with Scenebook(site.url) as client:
        [long] = [one for one in client.videos() if one.title.startswith("long")]
        assert long.bytes == film.stat().st_size
        client.delete(long.id)


def test_each_owner_signs_in_to_their_own(browser: Browser, site: Site) -> None:
    stranger = UUID("b0b00000-0000-4000-8000-000000000009")
    with running_api(site.settings, auth_mode="token") as url:
        visit = Visit(browser, url)
        page = visit.page
        page.goto(f"/videos/{site.spoken}")
        page.get_by_label("API key, or a session's token").fill("sbk_wrong")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text=re.compile("key")).wait_for()
        page.get_by_label("API key, or a session's token").fill(token_of(stranger))
        page.keyboard.press("Enter")
        page.get_by_text("There is no").first.wait_for()
        assert page.get_by_text("Composite").count() == 0
        assert page.get_by_role("link", name="Operations").count() == 0
        page.goto("/")
        page.get_by_role("button", name="Sign out").wait_for()
        assert page.get_by_role("list", name="Videos").get_by_role("link").count() == 0
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("API key, or a session's token").wait_for()
        visit.close()

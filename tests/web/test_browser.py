"""The pages in Chromium: keyboard, no script, narrow, light and dark, under the strict policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Part of the `test` extra; the suite must also pass where only the product is installed.
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

PAGES = [
    "/",
    "/?q=flour+water",
    "/?q=zzqx+vvkw",
    "/docs#post-api-v1-capture",
    "/problems/model-mismatch",
]


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh profile; what the console says (policy violations among it) must stay nothing."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    context.close()
    assert complaints == []


FEWER = "document.querySelectorAll('[data-find]').forEach((one, at) => at > 5 && one.remove())"
"""The reference has a hundred routes of one make: some of them show what all are like, in a tenth of the time."""


# Every rule once, in light and wide; then dark and narrow in what can differ there: contrasts and width.
def look_at(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto(address)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len({*ids}), address
    page.evaluate(FEWER)
    assert serious(axe.Axe().run(page, options={"resultTypes": ["violations"]}).response) == [], address
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    dark = page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})")
    assert serious(dark) == [], (address, "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (address, "narrow")


def serious(found: dict[str, Any]) -> list[str]:
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def test_every_page_is_accessible_and_fits(page: Page, library: str) -> None:
    for path in PAGES:
        look_at(page, library + path)


def test_so_are_the_states_without_data(
    page: Page, empty: str, unread: str, signed_out: str, down: str
) -> None:
    for base in (empty, unread, signed_out, down):
        look_at(page, base + "/")
    assert page.get_by_text("Not available").is_visible()


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True, ids=["no-script"])
def test_search_works_without_a_script(page: Page, library: str) -> None:
    page.goto(library + "/")
    page.get_by_label("Search what you have read").fill("nap for attention")
    page.get_by_label("Look in").select_option("Sleep")
    page.get_by_role("button", name="Search").click()
    assert page.locator(".hit h3").first.inner_text() == "What a short nap does"
    assert page.get_by_label("Search what you have read").input_value() == "nap for attention"
    page.goto(library + "/docs")
    assert page.get_by_label("Filter routes").is_hidden()
    page.locator("#get-api-v1-search > summary").click()
    assert page.locator("#get-api-v1-search pre").is_visible()


def test_search_works_with_the_keyboard_alone(page: Page, library: str) -> None:
    page.goto(library + "/")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.locator(":focus").get_attribute("name") == "q"
    assert page.locator(":focus").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.type("caffeine")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=caffeine*")
    assert page.locator(".hit h3").first.inner_text() == "Caffeine and the night"
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.locator(":focus").get_attribute("href") == "https://example.org/caffeine":
            break
    else:
        pytest.fail("the first result cannot be reached with Tab")


def test_slash_goes_to_the_search_box(page: Page, library: str) -> None:
    page.goto(library + "/?q=nap")
    page.keyboard.press("/")
    assert page.locator(":focus").get_attribute("name") == "q"
    page.keyboard.type("a/b")
    assert page.locator(":focus").input_value() == "a/b"


def test_attacks_stay_text(page: Page, library: str) -> None:
    page.goto(
        library + "/?q=flour%3Cimg+src%3Dx+onerror%3Dalert(1)%3E%22%3E%3Cscript%3Ealert(2)%3C%2Fscript%3E"
    )
    assert "<script>" in page.locator(".hits").inner_text()
    assert page.locator("main script, main img, main b").count() == 0
    assert page.title() != "owned"
    addresses = page.eval_on_selector_all("a", "links => links.map(link => link.protocol)")
    assert set(addresses) <= {"http:", "https:"}


def test_nothing_is_asked_of_anybody_else(page: Page, library: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        page.goto(library + path)
    assert all(url.startswith(library) for url in asked)


def test_the_reference_opens_what_is_linked_and_filters(page: Page, library: str) -> None:
    page.goto(library + "/docs#get-api-v1-search")
    assert page.locator("#get-api-v1-search pre").is_visible()
    page.locator("#get-api-v1-search a", has_text="SearchAnswer").click()
    assert page.locator("#object-SearchAnswer table").is_visible()
    page.get_by_label("Filter routes").fill("post capture")
    shown = page.locator("[data-find]:visible")
    assert shown.count() > 0
    assert "POST /api/v1/capture" in shown.first.get_attribute("data-find")
    assert page.locator("#get-api-v1-search").is_hidden()

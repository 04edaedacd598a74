"""The app in Chromium: from the first space to a correction taken back, one server and one browser for all of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

play = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
GARDEN = [
    (
        "Compost needs air",
        "Turn the compost heap so that air gets in; soil life breathes, and compost is soil food.",
    ),
    (
        "Soil life under the microscope",
        "Fungi, bacteria and worms in the soil turn dead leaves into plant food.",
    ),
    ("Worm compost in a box", "Compost worms eat kitchen scraps in a box and leave rich soil behind."),
    ("Shade plants that flower", "Plants for shade: hostas and astilbes flower with little light."),
    ("How much light a leaf needs", "Light meters show how little light shade plants need to grow leaves."),
    ("Grow lamps", "Lamps give plants light in winter; red and blue light makes leaves grow."),
]
PAGES = ["/app", "/app/everything", "/app/spaces/{space}/insights", "/app/spaces/{space}/edit", "/app/spaces/{space}/map",
         "/app/spaces/{space}", "/app/spaces/{space}/library", "/app/topics/{topic}", "/app/items/{item}",
         "/app/search?q=worms", "/app/start", "/app/spaces/{space}/add", "/app/settings"]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def base(start: Callable[..., str], until_ready: Callable[[str], str]) -> str:
    return until_ready(start(MOCK_USER_ID="somebody-with-a-garden"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with play.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """What the console says (violations of the policy among it) must stay nothing."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def garden(base: str, browser: Browser) -> dict[str, str]:
    """Onboarding by hand: the first space with its topics, then what was read, typed in and sent."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(base + "/app")
    assert page.url.endswith("/app/start"), "somebody without a space is led to the first one"
    page.get_by_label("Name", exact=True).fill("Balcony")
    page.get_by_label("Your intention").fill("Grow vegetables in the shade without peat")
    page.get_by_text("Name topics now").click()
    page.get_by_label("Topics, one a line").fill("Soil: compost, soil life\nLight: shade plants, grow lamps")
    page.get_by_role("button", name="Make the space").click()
    page.get_by_role("link", name="Add an item").click()
    page.get_by_label("Title").fill(GARDEN[0][0])
    page.get_by_label("Text").fill(GARDEN[0][1])
    page.get_by_role("button", name="Capture it").click()
    assert "Captured. It found its topic." in page.get_by_role("status").inner_text()
    item = page.url.rpartition("/")[2]
    context.close()
    api = base + "/api/v1"
    space = httpx.get(api + "/spaces").json()["spaces"][0]["id"]
    for title, text in GARDEN[1:]:
        sent = {"space_id": space, "url": f"https://garden.example/{title}", "title": title, "content": text}
        assert httpx.post(api + "/capture", json=sent, timeout=20).status_code == 201
    topics = {one["name"]: one["id"] for one in httpx.get(f"{api}/spaces/{space}/subspaces").json()}
    return {"space": str(space), "item": item, "topic": str(topics["Soil"]), "light": str(topics["Light"])}


def serious(page: Page, **options: Any) -> list[str]:
    found = axe.Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in {"serious", "critical"}
    ]


def test_every_page_is_accessible_and_fits(browser: Browser, base: str, garden: dict[str, str]) -> None:
    """In every rule; then dark and narrow, in what can differ there: the contrasts and the width."""
    contrast = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
    for theme, width, options in (("light", 1200, {}), ("dark", 360, contrast)):
        context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
        page = context.new_page()
        for path in PAGES:
            page.goto(base + path.format(**garden))
            assert serious(page, **options) == [], (path, theme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, theme)
        context.close()


def test_an_item_is_moved_and_moved_back(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/items/{garden['item']}")
    assert "“Soil” was likeliest" in page.get_by_role("region", name="Why it is here").inner_text()
    right = page.get_by_role("region", name="Put it right")
    right.get_by_label("Topic").select_option("Light")
    right.get_by_role("button", name="Move").click()
    said = page.get_by_role("status").inner_text()
    before, after = said.split("Before")[1].split("After")
    assert re.search(r"“Soil”: 3 items.*“Light”: 3 items", before, re.DOTALL)
    assert re.search(r"“Soil”: 2 items.*“Light”: 4 items", after, re.DOTALL)
    assert "A person put it in “Light”" in page.get_by_role("region", name="Why it is here").inner_text()
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert "Undone" in page.get_by_role("status").inner_text()
    assert page.locator(".eyebrow").inner_text().endswith("Soil")
    page.reload()
    assert page.get_by_role("status").count() == 0, "what was said is said once"


def test_deleting_can_be_undone(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/items/{garden['item']}")
    page.get_by_role("button", name="Delete").click()
    assert page.get_by_role("heading", name="5 items").is_visible()
    page.get_by_role("button", name="Undo").click()
    assert page.get_by_role("heading", name=GARDEN[0][0]).is_visible()


def test_the_library_answers_while_one_types_and_by_filter(
    page: Page, base: str, garden: dict[str, str]
) -> None:
    page.goto(f"{base}/app/spaces/{garden['space']}/library")
    assert page.get_by_role("heading", name="6 items").is_visible()
    form = page.get_by_role("search", name="Library")
    form.get_by_label("Topic").select_option("Light")
    page.get_by_role("heading", name="3 items match").wait_for()
    form.get_by_role("searchbox").press_sequentially("lamps")
    page.get_by_role("heading", name="1 item match").wait_for()
    assert page.locator("#found .title").inner_text() == "Grow lamps"
    assert f"topic={garden['light']}" in page.url, "the address can be kept and sent"
    page.reload()
    assert page.get_by_role("heading", name="1 item match").is_visible()
    form.get_by_role("searchbox").fill("nothing says this")
    page.get_by_text("Nothing in this space matches.").wait_for()


def test_search_is_answered_while_one_types_and_walked_by_keys(
    page: Page, base: str, garden: dict[str, str]
) -> None:
    page.goto(f"{base}/app/search")
    page.keyboard.type("worms in the kitchen")
    first = page.locator("#found a.title").first
    first.get_by_text("Worm compost in a box").wait_for()
    assert page.locator("#found mark").count() > 0
    assert "in meaning" in page.locator(".why-hit").first.inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator(":focus").inner_text() == "Worm compost in a box"
    page.keyboard.press("/")
    assert page.locator(":focus").get_attribute("name") == "q"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/app/items/*")
    assert page.get_by_role("heading", name="Worm compost in a box").is_visible()
    assert garden["item"]


def test_every_figure_says_why_and_the_theme_stays(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/spaces/{garden['space']}")
    for name in ("Focus", "Fit", "Pace", "Shift"):
        page.get_by_role("button", name=f"Why this number: {name}", exact=True).press("Enter")
        panel = page.get_by_role("dialog", name=f"Why this number: {name}", exact=True)
        assert panel.is_visible()
        assert all(part in panel.inner_text() for part in ("How it is computed", "From", "When"))
        page.keyboard.press("Escape")
        assert panel.is_hidden()
    page.get_by_role("button", name="Dark").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 23)"


def test_topics_are_renamed_merged_and_restored(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/topics/{garden['light']}")
    page.get_by_label("Name").fill("Light and shade")
    page.get_by_role("button", name="Rename").click()
    assert page.get_by_role("heading", name="Light and shade").is_visible()
    page.get_by_role("button", name="Merge").click()
    assert page.url.endswith(f"/app/topics/{garden['topic']}")
    assert page.locator(".figures").inner_text().rpartition("Items")[2].strip() == "6"
    page.get_by_role("button", name="Undo").click()
    assert page.locator(".figures").inner_text().rpartition("Items")[2].strip() == "3"


def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    page: Page, base: str, garden: dict[str, str]
) -> None:
    page.goto(base + "/app/settings")
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    assert page.get_by_role("status").locator("code").inner_text().startswith("misir_")
    page.goto(base + "/app/settings")
    assert page.get_by_role("status").count() == 0
    page.get_by_role("button", name="Revoke laptop").click()
    assert page.get_by_text("No keys yet.").is_visible()
    assert garden["space"]

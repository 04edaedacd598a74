"""The app in Chromium: from the first space to a correction taken back, one server and one browser for all of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi.routing import APIRoute

from misir.web.app.routes import get_nothing, router

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

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
         "/app/search?q=worms", "/app/start", "/app/spaces/{space}/add", "/app/settings", "/app/settings/rules",
         "/app/settings/webhooks", "/app/settings/webhooks/{hook}", "/app/settings/diagnostics", "/app/settings/transfer",
         "/app/away"]  # fmt: skip
FILES = {"/app/settings/diagnostics.json", "/app/settings/export", "/app/spaces/{}/map/frames"}
"""What the app answers with that is no page."""

ELSEWHERE = {"/app/sign-in", "/app/settings/transfer/{}"}
"""Pages of servers that have something else to show."""


@pytest.fixture(scope="module")
def base(start: Callable[..., str], until_ready: Callable[[str], str]) -> str:
    return until_ready(start(MOCK_USER_ID="somebody-with-a-garden"))


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
    weeks_ago = [datetime.now(UTC) - timedelta(days=back) for back in (20, 16, 12, 8, 4)]
    for (title, text), at in zip(GARDEN[1:], weeks_ago, strict=True):
        sent = {"space_id": space, "url": f"https://garden.example/{title}", "title": title, "content": text}
        sent |= {"captured_at": at.isoformat(), "dwell_time_ms": 240_000, "scroll_depth": 0.8}
        assert httpx.post(api + "/capture", json=sent, timeout=20).status_code == 201
    leave_a_silent_space(api)
    hook = httpx.post(api + "/webhooks", json={"url": "https://garden.example/in"}).json()["id"]
    until_drawn(api, space)
    topics = {one["name"]: one["id"] for one in httpx.get(f"{api}/spaces/{space}/subspaces").json()}
    named = {"topic": topics["Soil"], "light": topics["Light"], "space": space, "hook": hook}
    return {"item": item, **{name: str(number) for name, number in named.items()}}


def leave_a_silent_space(api: str) -> None:
    """Three items of three weeks ago, and nothing since."""
    topics = [{"name": "Loaves", "markers": ["bread and flour"]}]
    space = httpx.post(api + "/spaces", json={"name": "Baking", "subspaces": topics}, timeout=20).json()["id"]
    at = datetime.now(UTC) - timedelta(days=21)
    for n in range(3):
        text = f"Bread number {n} is made of flour, water and time."
        sent = {
            "space_id": space,
            "url": f"https://bread.example/{n}",
            "title": f"Bread {n}",
            "content": text,
        }
        sent |= {"captured_at": (at + timedelta(minutes=n)).isoformat()}
        assert httpx.post(api + "/capture", json=sent, timeout=20).status_code == 201
    assert httpx.post(api + "/insights/generate", timeout=20).json()["count"] > 0


def until_drawn(api: str, space: int) -> None:
    """The worker draws the map after the answer."""
    deadline = time.monotonic() + 60
    while httpx.get(f"{api}/spaces/{space}/topology").json()["metadata"]["last_updated"] is None:
        assert time.monotonic() < deadline, "the map was not drawn"
        time.sleep(0.2)


def serious(found: dict[str, Any]) -> list[str]:
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def look_at(page: Page, address: str) -> None:
    """Light and wide in every rule; then dark and narrow in what can differ there: contrasts and width."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto(address)
    assert serious(axe.Axe().run(page, options={"resultTypes": ["violations"]}).response) == [], address
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    shut = "[...document.querySelectorAll('[popover]')].every(e => getComputedStyle(e).display === 'none')"
    assert page.evaluate(shut), (address, "no reason is shown before it is asked for")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    dark = page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})")
    assert serious(dark) == [], (address, "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (address, "narrow")


def test_every_page_is_accessible_and_fits(page: Page, base: str, garden: dict[str, str]) -> None:
    for path in PAGES:
        look_at(page, base + path.format(**garden))


def test_so_are_the_door_an_import_and_the_problems(
    page: Page, browser: Browser, start: Callable[..., str], until_ready: Callable[[str], str]
) -> None:
    door = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_KEY": "anon-key", "SUPABASE_JWT_SECRET": "s" * 32}
    look_at(page, until_ready(start(MOCK_AUTH=False, **door)) + "/app/sign-in")
    base = until_ready(start(MOCK_USER_ID="somebody-with-a-file"))
    space = httpx.post(base + "/api/v1/spaces", json={"name": "Kept"}, timeout=20).json()["id"]
    kept = {"file": ("list.txt", "https://kept.example/one\nnot an address\n")}
    run = httpx.post(base + "/api/v1/imports", data={"space_id": space}, files=kept, timeout=20).json()["id"]
    look_at(page, f"{base}/app/settings/transfer/{run}")
    context = browser.new_context()  # its console may say that the page is not there
    for path in ("/app/items/999999", "/app/no/such"):
        look_at(context.new_page(), base + path)
    context.close()


def test_no_page_is_left_out() -> None:
    routes = (one for one in router.routes if isinstance(one, APIRoute) and one.endpoint is not get_nothing)
    served = {re.sub(r"{\w+}", "{}", one.path) for one in routes if "GET" in one.methods}
    looked_at = {re.sub(r"{\w+}", "{}", path.partition("?")[0]) for path in PAGES}
    assert served - FILES - ELSEWHERE == looked_at


def test_an_item_is_moved_and_moved_back(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/items/{garden['item']}")
    assert "“Soil” was likeliest" in page.get_by_role("region", name="Why it is here").inner_text()
    right = page.get_by_role("region", name="Put it right")
    right.get_by_label("Topic").select_option("Light")
    right.get_by_role("button", name="Move").first.click()
    said = page.get_by_role("status").inner_text()
    before, after = said.split("Before")[1].split("After")
    assert re.search(r"“Soil” 3 items.*“Light” 3 items", before, re.DOTALL)
    assert re.search(r"“Soil” 2 items.*“Light” 4 items", after, re.DOTALL)
    assert "A person put it in “Light”" in page.get_by_role("region", name="Why it is here").inner_text()
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert "Undone" in page.get_by_role("status").inner_text()
    assert page.locator(".head .eyebrow").inner_text().endswith("Soil")
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
    page.get_by_role("region", name="Keys").get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    assert page.get_by_role("status").locator("code").inner_text().startswith("misir_")
    page.goto(base + "/app/settings")
    assert page.get_by_role("status").count() == 0
    page.get_by_role("button", name="Revoke laptop").click()
    assert page.get_by_text("No keys yet.").is_visible()
    assert garden["space"]


def test_many_items_are_placed_at_once_and_put_back(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/spaces/{garden['space']}/library?topic={garden['topic']}")
    put = page.get_by_role("button", name="Put there")
    assert put.is_disabled(), "nothing can be done with no item"
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    assert page.get_by_text("2 chosen:").is_visible()
    page.locator("#bulk").get_by_label("Topic").select_option(garden["light"])
    put.click()
    assert page.get_by_role("heading", name="1 item match").is_visible()
    assert "3 items" in page.get_by_role("status").first.inner_text()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="3 items match").wait_for()


def test_what_needs_attention_is_said_with_its_reason_until_it_is_dismissed(
    page: Page, base: str, garden: dict[str, str]
) -> None:
    assert garden["space"]
    page.goto(base + "/app")
    note = page.locator(".note", has_text="Nothing new in “Baking”")
    note.get_by_role("button", name="Why this number").click()
    assert "14 days" in page.locator(".why:popover-open").inner_text()
    page.keyboard.press("Escape")
    note.get_by_role("link", name="See where you left off").click()
    assert page.get_by_role("heading", name="Baking").is_visible()
    page.go_back()
    note.get_by_role("button", name="Dismiss").click()
    assert "Dismissed" in page.get_by_role("status").inner_text()
    assert note.count() == 0
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert note.count() == 1, "taken back, it needs attention again"
    note.get_by_role("button", name="Archive the space").click()
    assert "Archived" in page.get_by_role("status").inner_text()
    acted = httpx.get(base + "/api/v1/insights", params={"status": "acted"}).json()
    assert [one["insight_data"]["rule"] for one in acted] == ["stagnation"], "what was done about it is noted"
    page.get_by_role("link", name="Archive and trash").click()
    page.get_by_role("button", name="Open Baking again").click()
    page.goto(base + "/app")
    assert note.count() == 0, "and it stays quiet"


def test_the_map_leads_to_items_filters_zooms_and_goes_back_in_time(
    page: Page, base: str, garden: dict[str, str]
) -> None:
    page.goto(f"{base}/app/spaces/{garden['space']}/map")
    shown = page.locator("[data-bubbles] a:not(.gone)")
    assert shown.count() == 2
    page.get_by_label("Only topics whose name has").fill("soil")
    assert page.locator("[data-bubbles] a:not(.faint)").get_attribute("data-name") == "soil"
    page.get_by_label("Only topics whose name has").fill("")
    page.get_by_role("button", name="Nearer").click()
    assert page.locator("[data-map]").get_attribute("viewBox") == "100 68 800 544"
    slider = page.get_by_label("Time on the map")
    with page.expect_response("**/map/frames"):
        slider.press("Home")
    page.get_by_role("status").get_by_text(str(datetime.now(UTC).year)).wait_for()
    slider.press("End")
    page.get_by_role("status").get_by_text("now").wait_for()
    page.locator(f"[data-id='{garden['topic']}']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/library?topic={garden['topic']}")


def test_figures_over_time_and_over_all_spaces(page: Page, base: str, garden: dict[str, str]) -> None:
    page.goto(f"{base}/app/spaces/{garden['space']}/insights")
    assert page.get_by_role("img", name=re.compile("Focus by week, from 0 to 1: Focus 0")).is_visible()
    assert page.get_by_role("region", name="What shaped this space").get_by_role("link").count() >= 6
    page.goto(base + "/app/everything")
    assert "20 min" in page.get_by_role("region", name="Time by space").inner_text()
    assert "Nearness" in page.get_by_role("region", name="Intention against attention").inner_text()
    assert page.locator(".calendar rect").count() == 90

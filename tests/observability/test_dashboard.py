"""The dashboard in Chromium: accessible, narrow and wide, refreshed in place, and deaf to attacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Part of the `test` extra; the suite must also pass where only the product is installed.
play = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
# Colours do not depend on the width, nor the layout on the colours: two looks cover both.
LOOKS = [("light", 1200), ("dark", 360)]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with play.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def busy(run_app: Callable[..., httpx.Client]) -> httpx.Client:
    """An app that has seen some of everything."""
    client = run_app()
    space = client.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    for n in range(12):
        client.post(
            "/api/v1/capture", json={"space_id": space, "url": f"https://a.example/{n}", "title": f"T {n}"}
        )
        client.get("/api/v1/search", params={"q": "T"})
        client.get(f"/<script>document.title='owned'</script>/{n}")
    return client


def test_it_is_accessible_and_fits(browser: Browser, busy: httpx.Client) -> None:
    for scheme, width in LOOKS:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page, said = context.new_page(), []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(f"{busy.base_url}/dashboard")
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (scheme, width)
        assert page.locator("[data-table=routes] tbody tr").count() > 3
        assert page.title() != "owned"
        assert page.locator("main script").count() == 0
        if os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{scheme}-{width}.png", full_page=True)
        assert said == []
        context.close()


def test_it_says_how_large_the_database_is_and_stands_without_one(
    busy: httpx.Client, run_app: Callable[..., httpx.Client]
) -> None:
    found = busy.get("/dashboard/api").json()
    tables = {one["name"]: one["total_bytes"] for one in found["database"]["tables"]}
    assert 0 < tables["artifact"] < found["database"]["database_bytes"]
    assert 1 <= found["database"]["connections"] <= found["database"]["max_connections"]
    assert sum(found["statuses"].values()) == found["total_requests"]
    assert found["latency_overall"]["count"] == sum(one["count"] for one in found["latency"].values())
    assert found["latency_overall"]["p50_ms"] <= found["latency_overall"]["p99_ms"]
    shown = {table["key"]: table["rows"] for table in found["shown"]["tables"]}
    assert [row[0] for row in shown["embedding"]] == ["Texts in a call", "Texts in a run", "A call", "A run"]
    assert shown["embedding"][1][3] == "1", "the median of lone texts"
    away = run_app(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert "cannot be reached" in away.get("/dashboard/api").json()["database"]["problem"]
    assert "cannot be reached" in away.get("/dashboard").text


def test_it_refreshes_in_place(browser: Browser, busy: httpx.Client) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(f"{busy.base_url}/dashboard")
    row = page.locator("[data-table=routes] tbody tr", has_text="GET /api/v1/search")
    before = int(row.locator("td").first.inner_text())
    assert before >= 12
    row.evaluate("row => { row.dataset.kept = 'yes' }")
    busy.get("/api/v1/search", params={"q": "T"})
    busy.get("/api/v1/artifacts")
    with page.expect_response("**/dashboard/api"):
        page.clock.fast_forward(5100)
    play.expect(row.locator("td").first).to_have_text(str(before + 1))
    assert page.locator("[data-kept]").count() == 1
    page.get_by_label("Refresh every 5 seconds").uncheck()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(20_000)
    assert asked == []
    page.close()

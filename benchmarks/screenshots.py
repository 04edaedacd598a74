"""Screenshots of every page, with six simulated weeks of reading. `make screenshots`, or `python benchmarks/screenshots.py`

Starts a Misir of its own, fills it with the documentation of Python's standard library as if it had been read over six weeks
(dates, times and depths by a seed; the pages say so), and leaves PNG files in docs/screenshots. `--only-fill URL` fills a
running server instead, and takes none.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from misir.app import create_app
from misir.demo import Client, Document, read_documents
from misir.settings import Settings

OUT: Final = Path(__file__).parent.parent / "docs" / "screenshots"
SEED: Final = 20_26
WEEKS: Final = 6
SAID: Final = "Simulated for the screenshots: real documentation, invented reading times."
CHUNK: Final = 100


@dataclass(frozen=True)
class Field:
    """A space: what it is for, which modules belong to it, its declared topics, items a week, and how deep."""

    name: str
    intention: str
    modules: str
    topics: dict[str, list[str]]
    pace: tuple[int, ...]
    depth: float


FIELDS: Final = (
    Field(
        "Building a web service",
        "Run a small web service that stays up under load",
        "socket socketserver ssl select http urllib smtplib ftplib email webbrowser mimetypes ipaddress asyncio threading "
        "concurrent multiprocessing queue subprocess sched",
        {
            "Serving HTTP": ["HTTP clients and web servers", "URLs and cookies"],
            "Sockets and TLS": ["sockets and network servers", "encrypted connections with TLS"],
            "Concurrency": [
                "threads and locks",
                "asynchronous event loop and coroutines",
                "processes and pools",
            ],
        },
        (6, 9, 12, 16, 21, 26),
        0.8,
    ),
    Field(
        "Working with data",
        "Clean and summarise what the sensors send every night",
        "csv json configparser html xml string re difflib codecs locale statistics decimal fractions math random datetime "
        "calendar zoneinfo collections itertools zipfile gzip sqlite3 pickle shelve",
        {
            "Formats": ["CSV, JSON, XML and configuration files"],
            "Numbers": ["statistics such as mean and variance", "decimal numbers and fractions"],
            "Dates and time zones": ["dates and calendars", "time zones"],
        },
        (12, 11, 13, 12, 11, 12),
        0.55,
    ),
    Field(
        "Keeping software honest",
        "Know that a change broke nothing before anybody else does",
        "unittest doctest bdb pdb profile pstats cProfile traceback tracemalloc logging warnings timeit faulthandler",
        {
            "Tests": ["unit tests and mock objects"],
            "Finding the cause": ["debugger and breakpoints", "tracebacks and error reports"],
        },
        (9, 14, 11, 3, 0, 0),
        0.7,
    ),
    Field(
        "How Python works",
        "",
        "ast dis inspect importlib typing enum abc contextlib weakref functools operator types symtable tokenize runpy",
        {},
        (0, 0, 6, 10, 13, 12),
        0.4,
    ),
)


def fill(client: Client, now: datetime) -> None:
    """Six weeks of reading, in the order of their times. The same seed makes the same weeks, ending today."""
    chance = random.Random(SEED)  # noqa: S311 - a simulation
    documents = read_documents()
    for field in FIELDS:
        topics = [{"name": name, "markers": markers} for name, markers in field.topics.items()]
        new = {"name": field.name, "intention": field.intention, "description": SAID, "subspaces": topics}
        space_id = client.ask("POST", "/spaces", json=new)["id"]
        visits = plan(field, documents, now, chance)
        for start in range(0, len(visits), CHUNK):
            chunk = [{**visit, "space_id": space_id} for visit in visits[start : start + CHUNK]]
            client.ask("POST", "/artifacts/batch", json={"artifacts": chunk})


def plan(
    field: Field, documents: list[Document], now: datetime, chance: random.Random
) -> list[dict[str, Any]]:
    """The visits of one space. One in seven is a second look at something read before."""
    modules = field.modules.split()
    pages = [one for one in documents if one["title"].partition(".")[0] in modules]
    chance.shuffle(pages)
    visits, read = list[dict[str, Any]](), list[Document]()
    for week, n_items in enumerate(field.pace):
        for _ in range(n_items):
            is_again = bool(read) and (not pages or chance.random() < 0.14)
            page = chance.choice(read) if is_again else pages.pop()
            read.append(page)
            visits.append({**page, **look(field, week, now, chance), "content_source": "web"})
    return sorted(visits, key=lambda visit: str(visit["captured_at"]))


def look(field: Field, week: int, now: datetime, chance: random.Random) -> dict[str, Any]:
    """When, for how long and how far one page was read."""
    back = timedelta(days=7 * (WEEKS - 1 - week) + chance.random() * 7)
    at = (now - back).replace(hour=chance.choice((8, 9, 12, 18, 20, 21, 22)), minute=chance.randrange(60))
    scroll = min(1.0, max(0.05, chance.gauss(field.depth, 0.25)))
    spent_ms = int(chance.lognormvariate(4.0 + 1.7 * scroll, 0.7) * 1000)
    return {
        "captured_at": min(at, now).isoformat(),
        "scroll_depth": round(scroll, 2),
        "dwell_time_ms": spent_ms,
        "active_time_ms": int(spent_ms * chance.uniform(0.6, 0.95)),
    }


@contextmanager
def serving(data_dir: Path) -> Iterator[str]:
    """A whole Misir on a port of its own."""
    app = create_app(
        Settings(_env_file=None, MOCK_AUTH=True, RATE_LIMIT_ENABLED=False, MISIR_DATA_DIR=data_dir)
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        while httpx.get(base + "/health/ready").status_code != 200:
            time.sleep(0.05)
        yield base
    finally:
        server.should_exit = True
        thread.join()


def settle(base: str) -> None:
    """Until the worker has looked at what was captured: it moves items and names topics."""
    before, same = "", 0
    while same < 4:
        time.sleep(1.5)
        spaces = httpx.get(base + "/api/v1/spaces").json()["spaces"]
        seen = str([(one["subspace_count"], one["confidence"], one["avg_fit"]) for one in spaces])
        same = same + 1 if seen == before else 0
        before = seen


SIZES: Final = {"desktop": (1200, 720), "phone": (390, 844)}


def shoot(browser: Browser, base: str) -> None:
    addresses = pages_of(base)
    OUT.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            viewport: Any = {"width": width, "height": height}
            context = browser.new_context(color_scheme=theme, viewport=viewport)
            page = context.new_page()
            for name, address in addresses.items():
                take(page, base + address, OUT / f"{name}-{size}-{theme}.png")
            context.close()


def take(page: Page, address: str, path: Path) -> None:
    page.goto(address, wait_until="networkidle")
    page.screenshot(path=path, animations="disabled")
    print(path.name, path.stat().st_size // 1024, "KB")


def pages_of(base: str) -> dict[str, str]:
    """Name → address of every page, with the ids that this library happens to have."""
    api = base + "/api/v1"
    space = httpx.get(api + "/spaces").json()["spaces"][0]["id"]
    topic = httpx.get(f"{api}/spaces/{space}/subspaces").json()[0]["id"]
    asked = {"subspace_id": topic, "page_size": 1, "sort": "fit_desc"}
    item = httpx.get(f"{api}/spaces/{space}/artifacts", params=asked).json()["artifacts"][0]["id"]
    return {
        "home": "/app",
        "space": f"/app/spaces/{space}",
        "everything": "/app/everything",
        "map": f"/app/spaces/{space}/map",
        "insights": f"/app/spaces/{space}/insights",
        "library": f"/app/spaces/{space}/library",
        "topic": f"/app/topics/{topic}",
        "item": f"/app/items/{item}",
        "search": "/app/search?q=wait+for+several+tasks+at+once",
        "start": "/app/start",
        "settings": "/app/settings",
        "transfer": "/app/settings/transfer",
        "webhooks": "/app/settings/webhooks",
        "rules": "/app/settings/rules",
        "diagnostics": "/app/settings/diagnostics",
        "dashboard": "/dashboard",
    }


def main() -> None:
    now = datetime.now(UTC)
    if sys.argv[1:2] == ["--only-fill"]:
        with Client(sys.argv[2]) as client:
            fill(client, now)
        return
    with tempfile.TemporaryDirectory(prefix="misir-shots-") as folder, serving(Path(folder)) as base:
        with Client(base) as client:
            fill(client, now)
        settle(base)
        with sync_playwright() as driver:
            executable = shutil.which("chromium") or shutil.which("google-chrome")
            browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            shoot(browser, base)
            browser.close()


if __name__ == "__main__":
    main()

"""Real servers on real ports: one library with data, and others in every state a page must survive."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from misir.app import create_app
from misir.embed.embedder import Embedder
from misir.embed.models import MINILM, model_unavailable
from misir.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

SLEEP = [
    ("https://example.org/naps", "What a short nap does", "A nap of twenty minutes restores attention."),
    (
        "https://example.org/caffeine",
        "Caffeine and the night",
        "Caffeine blocks adenosine; sleep comes late.",
    ),
    (
        "https://example.org/light",
        "Morning light",
        "Bright light in the morning moves the body clock earlier.",
    ),
    ("note:diary", "My sleep diary", "Two glasses of wine with dinner, and I woke twice in the night."),
]
HOSTILE = [
    (
        "https://example.org/flour",
        "<script>document.title='owned'</script><b>bold</b> flour",
        "Protein in <img src=x onerror=\"document.title='owned'\"> flour takes up more water.",
    ),
    (
        "file:///home/me/flour.pdf",
        "A flour file, not a link",
        "Flour, and paths of this computer.",
    ),
]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module, each test with a profile of its own. Its loop would be in the way of others' for longer."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    play = pytest.importorskip("playwright.sync_api")
    with play.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def serving(settings: Settings, embedder: Embedder | None = None) -> Iterator[str]:
    """A whole Misir on a port of its own, in a thread."""
    app = create_app(settings, embedder=embedder)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended while it started"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ready(base: str) -> str:
    """The same address, once the model is loaded: that goes on after a server has begun to answer."""
    deadline = time.monotonic() + 60
    while httpx.get(base + "/health/ready").status_code != 200:
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.02)
    return base


def add_space(base: str, name: str, pages: list[tuple[str, str, str]]) -> None:
    with httpx.Client(base_url=base + "/api/v1", timeout=30) as client:
        space = client.post("/spaces", json={"name": name, "intention": f"Learn about {name}"})
        assert space.status_code == 201, space.text
        for url, title, content in pages:
            page = {"space_id": space.json()["id"], "url": url, "title": title, "content": content}
            assert client.post("/capture", json=page).status_code == 201


def no_model() -> Embedder:
    def load() -> Any:
        raise model_unavailable("The model all-MiniLM-L6-v2 is not here: this test took it away.")

    return Embedder(MINILM, load)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Servers of this session, all on one embedded database."""
    data_dir: Path = tmp_path_factory.mktemp("web")
    with ExitStack() as servers:

        def start(*, embedder: Embedder | None = None, **settings: Any) -> str:
            chosen = {"MOCK_AUTH": True, "MISIR_DATA_DIR": data_dir, "DB_POOL_SIZE": 2, **settings}
            return servers.enter_context(serving(Settings(_env_file=None, **chosen), embedder))

        yield start


@pytest.fixture(scope="session")
def library(start: Callable[..., str]) -> str:
    """Two spaces: one of plain pages, one of pages that attack."""
    base = ready(start())
    add_space(base, "Sleep", SLEEP)
    add_space(base, "Bread", HOSTILE)
    return base


@pytest.fixture(scope="session")
def empty(start: Callable[..., str]) -> str:
    return ready(start(MOCK_USER_ID="somebody-new"))


@pytest.fixture(scope="session")
def unread(start: Callable[..., str]) -> str:
    """One space, nothing in it."""
    base = ready(start(MOCK_USER_ID="somebody-with-a-plan"))
    add_space(base, "Plans", [])
    return base


@pytest.fixture(scope="session")
def signed_out(library: str, start: Callable[..., str]) -> str:
    """The library's own database, with authentication on."""
    del library
    return ready(start(MOCK_AUTH=False))


@pytest.fixture(scope="session")
def wordless(library: str, start: Callable[..., str]) -> str:
    """The library without its model."""
    del library
    return start(embedder=no_model())


@pytest.fixture(scope="session")
def down(start: Callable[..., str]) -> str:
    """No database at all."""
    return start(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")


def get_html(url: str, **params: str) -> httpx.Response:
    return httpx.get(url, headers=HTML, params=params or None, timeout=20)


@pytest.fixture(scope="session")
def html() -> Callable[..., httpx.Response]:
    """GET as a browser does."""
    return get_html


@pytest.fixture(scope="session")
def until_ready() -> Callable[[str], str]:
    """The same address, once its server has its model."""
    return ready

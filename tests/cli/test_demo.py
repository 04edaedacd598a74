"""The demo library: complete however often it was interrupted, and never doubled."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from misir.demo import TOPICS, Client, Interrupted, read_documents
from misir.errors import MisirError


@pytest.fixture(scope="module")
def documents() -> list[dict[str, str]]:
    return read_documents()


def test_the_library_is_real_text_in_a_fixed_order(documents: list[dict[str, str]]) -> None:
    assert 300 <= len(documents) <= 500
    assert read_documents() == documents
    assert len({document["url"] for document in documents}) == len(documents)
    assert min(len(document["content"]) for document in documents) >= 60
    assert {urlsplit(document["url"]).netloc for document in documents} == {"docs.python.org"}
    assert "object at 0x" not in json.dumps(documents)
    addresses = {document["title"]: document["url"] for document in documents}
    assert addresses["csv"] == "https://docs.python.org/3/library/csv.html"
    assert addresses["csv.DictReader"] == "https://docs.python.org/3/search.html?q=csv.DictReader"


def test_topics_are_declared_with_markers_in_plain_words() -> None:
    assert len(TOPICS) >= 6
    assert all(4 <= len(markers) <= 6 for markers in TOPICS.values())


def test_it_loads_into_a_running_server_and_a_second_time_adds_nothing(house: Any) -> None:
    server = house.serve("--no-demo")
    for n_new in (40, 0):
        loaded = house.misir("demo", "--url", server.url, "--limit", "40", "--json")
        assert (loaded.returncode, loaded.stderr) == (0, "")
        assert json.loads(loaded.stdout)["new"] == n_new
    assert server.count_artifacts() == 40
    (space,) = httpx.get(f"{server.url}/api/v1/spaces", timeout=30).json()["spaces"]
    assert space["name"] == "Python standard library"
    topics = httpx.get(f"{server.url}/api/v1/spaces/{space['id']}/subspaces", timeout=30).json()
    assert {*TOPICS} <= {topic["name"] for topic in topics}, "beside those the engine may have founded"
    assert server.end() == 0


def test_a_server_killed_while_it_loads_finishes_when_it_starts_again(house: Any) -> None:
    killed = house.serve()
    house.wait_until(lambda: killed.count_artifacts() > 5, "a few documents")
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    again = house.serve("--no-demo")
    n_before = again.count_artifacts()
    assert n_before > 5
    assert not (house.data / "demo.done").exists()
    loaded = house.misir("demo", "--url", again.url, "--limit", "30", "--json")
    assert json.loads(loaded.stdout)["new"] == max(30 - n_before, 0)
    assert again.count_artifacts() == max(30, n_before)
    assert httpx.get(f"{again.url}/api/v1/spaces", timeout=30).json()["count"] == 1


@pytest.mark.parametrize("n_workers", ["1", "2"])
def test_a_signal_stops_the_load_at_once(house: Any, n_workers: str) -> None:
    server = house.serve("--workers", n_workers)
    house.wait_until(lambda: server.count_artifacts() > 0, "the first document")
    assert server.end(signal.SIGINT) == 0
    assert house.processes() == set()
    assert "Traceback" not in server.said
    assert "incomplete" not in server.said
    assert not (house.data / "demo.done").exists()


def test_who_deleted_the_demo_is_rid_of_it(house: Any) -> None:
    house.data.mkdir(mode=0o711)
    (house.data / "demo.done").touch()
    server = house.serve()
    assert server.count_artifacts() == 0
    assert server.end() == 0


def test_without_a_server_it_says_how_to_start_one(house: Any) -> None:
    refused = house.misir("demo", "--url", "http://127.0.0.1:9")
    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        "misir: No Misir answers at http://127.0.0.1:9: start one with `misir serve --local`."
    )


class Moody(BaseHTTPRequestHandler):
    """Asks every client to come back once, then answers; forbids what is not /spaces."""

    n_asked = 0

    def do_GET(self) -> None:
        type(self).n_asked += 1
        status = 403 if self.path != "/api/v1/spaces" else 429 if self.n_asked == 1 else 200
        self.send_response(status)
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(json.dumps({"spaces": [], "detail": "The door is closed."}).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.n_asked = 0
    with HTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_client_comes_back_when_told_to(moody: str) -> None:
    with Client(moody) as client:
        assert client.ask("GET", "/spaces") == {"spaces": [], "detail": "The door is closed."}
    assert Moody.n_asked == 2


def test_the_client_repeats_what_the_server_says(moody: str) -> None:
    with Client(moody) as client, pytest.raises(MisirError, match="The door is closed"):
        client.ask("GET", "/secrets")


def test_the_client_stops_when_it_is_over(moody: str) -> None:
    with Client(moody, is_over=lambda: Moody.n_asked > 0) as client, pytest.raises(Interrupted):
        client.ask("GET", "/spaces")

"""POST /artifacts/ingest: an address, or a file, becomes an artifact like any other."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

PLAIN = b"# Tides\n\n" + b"the sea comes and goes. " * 20
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/tides.md": (200, {"Content-Type": "text/markdown"}, PLAIN),
    "/packed": (200, {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(PLAIN)),
    "/bomb": (200, {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(bytes(60_000_000), 9)),
    "/twice": (200, {"Content-Type": "text/plain", "Content-Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(PLAIN))),
    "/lies": (200, {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, b"no gzip"),
    "/picture": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
    "/gone": (410, {"Content-Type": "text/html"}, b"<p>gone"),
    "/moved": (302, {"Location": "/tides.md"}, b"x" * 100),
    "/inside": (302, {"Location": "http://10.0.0.1/"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
}  # fmt: skip


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"<p>and on " * 100_000)
            except OSError:
                return
        status, headers, body = PAGES[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def reader(run_app: Callable[..., httpx.Client], fakes: Any) -> Callable[..., httpx.Response]:
    """`reader(json=…)` or `reader(data=…, files=…)`: the space is known."""
    api = run_app(embedder=fakes.embedder_of(sea=fakes.direction(1)), OUTBOUND_ALLOW="127.0.0.0/8")
    topics = [{"name": "Sea", "markers": ["sea"]}]
    space = api.post("/api/v1/spaces", json={"name": "S", "subspaces": topics}).json()["id"]

    def send(*, path: str = "/artifacts/ingest", **sent: Any) -> httpx.Response:
        fields = "json" if "json" in sent else "data"
        sent[fields] = {"space_id": space, **sent.get(fields, {})}
        return api.post(f"/api/v1{path}", **sent)

    send.api = api  # type: ignore[attr-defined]
    return send


def test_a_page_is_fetched_read_and_placed(reader: Any, site: str) -> None:
    answer = reader(json={"url": f"{site}/tides.md", "scroll_depth": 0.5})
    assert answer.status_code == 201, answer.text
    captured = answer.json()
    assert captured["subspace_id"] is not None
    page = reader.api.get(f"/api/v1/artifacts/{captured['artifact_id']}").json()
    assert (page["title"], page["scroll_depth"], page["content_source"]) == ("Tides", 0.5, "web")
    assert page["content"].startswith("# Tides")
    assert reader(json={"url": f"{site}/tides.md", "title": "Mine"}).status_code == 200
    assert reader(json={"url": f"{site}/moved"}).json()["artifact_id"] == captured["artifact_id"]
    assert reader(json={"url": f"{site}/packed"}).status_code == 201


HURTING = {
    "/bomb": "larger than 32 MiB", "/endless": "larger than 32 MiB", "/twice": "coding", "/lies": "unpacked",
    "/picture": "neither HTML", "/gone": "answered 410", "/inside": "public address", "/file": "http(s)", "/round": "redirect",
}  # fmt: skip


def test_a_page_that_would_hurt_is_refused(reader: Any, site: str) -> None:
    for path, said in HURTING.items():
        answer = reader(json={"url": f"{site}{path}"})
        assert answer.status_code == 422, (path, answer.text)
        assert said in answer.json()["detail"], path
        assert answer.headers["content-type"] == "application/problem+json"


def test_addresses_of_the_servers_own_network_are_refused(reader: Any) -> None:
    for url in ("http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/", "file:///etc/passwd", "note:x"):  # fmt: skip
        assert reader(json={"url": url}).status_code == 422, url


def test_a_file_is_read_and_the_same_file_is_the_same_artifact(reader: Any) -> None:
    first = reader(files={"file": ("tides.md", PLAIN)}, data={"dwell_time_ms": "9000"})
    assert first.status_code == 201, first.text
    page = reader.api.get(f"/api/v1/artifacts/{first.json()['artifact_id']}").json()
    assert (page["title"], page["dwell_time_ms"], page["content_source"]) == ("Tides", 9000, "note")
    again = reader(files={"file": ("tides.md", PLAIN)}, data={"dwell_time_ms": "9000"})
    assert (again.status_code, again.json()["signal_id"]) == (200, first.json()["signal_id"])
    named = reader(files={"file": ("x", PLAIN, "text/plain")}, data={"url": "https://x.example/tides", "title": "7"})  # fmt: skip
    page = reader.api.get(f"/api/v1/artifacts/{named.json()['artifact_id']}").json()
    assert (page["url"], page["title"]) == ("https://x.example/tides", "7")


def test_what_is_wrong_with_a_file_is_said(reader: Any) -> None:
    for file, said in (
        (("a.png", b"\x89PNG", "image/png"), "neither HTML"),
        (("a.md", b""), "empty"),
        (("a.pdf", b"%PDF-1.4 nothing"), "broken"),
    ):
        answer = reader(files={"file": file})
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
    assert reader(files={"file": ("a.md", PLAIN)}, data={"scroll_depth": "deep"}).status_code == 422
    assert reader(files={"other": ("a.md", PLAIN)}).status_code == 422
    assert reader(data={"url": "https://x.example"}).status_code == 422
    large = reader(files={"file": ("a.md", b"x" * (34 * 1024 * 1024))})
    assert (large.status_code, "33 MiB" in large.json()["detail"]) == (413, True)
    assert reader(path="/capture", json={"url": "https://x.example", "content": "x" * 9_000_000}).status_code == 413  # fmt: skip

"""How often a capture and a batch wait for the database, counted on the wire."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import psycopg
import pytest

SPACE = 1
WAITS = ("S", "H", "Q")
"""Sync, Flush and a simple query: messages after which a client waits for an answer."""


class Wire:
    """Stands between the app and PostgreSQL and counts the messages of the app, by kind."""

    def __init__(self, url: str) -> None:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        host, port = str(parts["host"]), int(parts.get("port") or 5432)
        self._target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        here = {"host": "127.0.0.1", "port": self._listener.getsockname()[1]}
        self.url = psycopg.conninfo.make_conninfo(
            **{**parts, **here, "sslmode": "disable", "gssencmode": "disable"}
        )
        self.seen: Counter[str] = Counter()
        self.waits, self._last = 0, ""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
                server = socket.socket(family)
                server.connect(self._target)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        read = client.makefile("rb")
        with client, server, suppress(OSError):
            size = read.read(4)  # the first message has no kind
            server.sendall(size + read.read(int.from_bytes(size) - 4))
            while kind := read.read(1):
                size = read.read(4)
                server.sendall(kind + size + read.read(int.from_bytes(size) - 4))
                self._see(kind.decode())

    def _see(self, kind: str) -> None:
        self.seen[kind] += 1
        # A Flush right after a Sync asks for nothing that is not on its way.
        self.waits += kind in WAITS and not (kind == "H" and self._last == "S")
        self._last = kind

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)

    def close(self) -> None:
        self._listener.close()

    def count(self, work: Callable[[], Any]) -> tuple[int, int]:
        """(how often the app waited, how many statements it ran) while `work` was done."""
        self.seen.clear()
        self.waits = 0
        work()
        return self.waits, self.seen["B"] + self.seen["Q"]


@pytest.fixture
def wire(app_url: str) -> Iterator[Wire]:
    between = Wire(app_url)
    yield between
    between.close()


def page(number: int) -> dict[str, Any]:
    text = f"sea {number} " + " ".join(f"w{number}x{n}" for n in range(30))
    return {"space_id": SPACE, "url": f"https://r.example/{number}", "title": "sea", "content": text}


@pytest.fixture
def asked(
    run_app: Callable[..., httpx.Client], fakes: Any, wire: Wire
) -> Callable[[str, Any], tuple[int, int]]:
    """`asked(path, body)` posts and says (waits, statements); every statement has been prepared before."""
    embedder = fakes.embedder_of(sea=fakes.direction(1))
    api = run_app(embedder=embedder, DATABASE_URL=wire.url, DB_POOL_SIZE=1)
    topic = {"name": "sea", "markers": ["sea"]}
    assert api.post("/api/v1/spaces", json={"name": "Sea", "subspaces": [topic]}).json()["id"] == SPACE

    def post(path: str, body: Any) -> tuple[int, int]:
        return wire.count(lambda: api.post(f"/api/v1{path}", json=body).raise_for_status())

    for number in range(8):
        post("/capture", page(number))
        post("/artifacts/batch", {"artifacts": [page(1000 + 10 * number + one) for one in range(3)]})
    return post


def test_a_capture_waits_three_times_and_a_known_page_as_often(asked: Any) -> None:
    """Is it known? (while the model reads it); lock and load; write and commit."""
    for number in (100, 101, 102):
        assert asked("/capture", page(number))[0] == 3
    for visit in range(8):
        deeper = page(100) | {"dwell_time_ms": 1000 * (1 + visit)}
        assert asked("/capture", deeper)[0] == 3


def test_a_batch_asks_as_much_for_a_hundred_items_as_for_twenty(asked: Any) -> None:
    few, many = (
        asked("/artifacts/batch", {"artifacts": [page(n * 1000 + one) for one in range(n)]})
        for n in (20, 100)
    )
    assert few == many
    assert many[0] == 3

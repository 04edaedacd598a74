"""An app, its worker by hand, and receivers that answer as a test says; one server for a whole module."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psycopg
import pytest

from misir.jobs.kinds import SENDING
from misir.jobs.worker import work_once
from misir.resources import Resources, build_resources
from misir.settings import Settings

SECRET_KEY = "a-key-of-the-tests-that-seals-secrets"


@dataclass(frozen=True)
class Heard:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """A server of somebody else's. `answers[path]` are (status, header fields) for its next requests; else 204."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answers: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.hangs: dict[str, threading.Event] = {}
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.heard.append(Heard(self.path, headers, body))
                if self.path in receiver.hangs:
                    receiver.hangs[self.path].wait(30)
                waiting = receiver.answers.get(self.path, [])
                status, fields = waiting.pop(0) if waiting else (204, {})
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def of(self, path: str) -> list[Heard]:
        return [one for one in self.heard if one.path == path]

    def close(self) -> None:
        for hanging in self.hangs.values():
            hanging.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass
class House:
    """The API as the local user, its worker by hand, and the database behind it."""

    api: httpx.Client
    receiver: Receiver
    owner: psycopg.Connection[Any]
    work_with: Callable[..., Any]

    def ask(
        self, method: str, path: str, *, expect: int | tuple[int, ...] = (200, 201, 202), **sent: Any
    ) -> Any:
        answer = self.api.request(method, f"/api/v1{path}", **sent)
        expected = expect if isinstance(expect, tuple) else (expect,)
        assert answer.status_code in expected, (method, path, answer.status_code, answer.text)
        return answer.json()

    def listen(self, *events: str, path: str | None = None) -> dict[str, Any]:
        """An endpoint with a path of its own at the receiver; `path` of it is in the answer."""
        path = path or f"/{uuid.uuid4().hex}"
        made = self.ask("POST", "/webhooks", json={"url": self.receiver.url + path, "events": list(events)})
        return {**made, "path": path}

    def work(self, now: datetime | None = None, **settings: Any) -> int:
        """Every delivery that is due by then; how many endpoints were looked at."""

        async def send(res: Resources) -> int:
            n_done = 0
            while await work_once(res, now or datetime.now(UTC), SENDING):
                n_done += 1
            return n_done

        return int(self.work_with(send, **settings))

    def deliveries(self, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/webhooks/{endpoint['id']}/deliveries")["deliveries"])

    def rows(self, query: str, *values: Any) -> list[Any]:
        return self.owner.execute(query.encode(), values).fetchall()


@pytest.fixture(scope="module")
def shared(server_url: Callable[..., str], running_app: Callable[..., Any], fakes: Any) -> Iterator[House]:
    """One app and one database for the tests of a module; each has endpoints and spaces of its own."""
    name = f"hooks_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    directions = {"sea": (1,), "wood": (0, 1), "harbour": (0, 0, 1)}

    def embedder() -> Any:
        return fakes.embedder_of(**{word: fakes.direction(*way) for word, way in directions.items()})

    settings = {
        "DATABASE_SERVICE_URL": server_url(name, "misir_worker"),
        "MISIR_SECRET_KEY": SECRET_KEY,
        "OUTBOUND_ALLOW": "127.0.0.1/32",
    }

    def work_with(work: Callable[..., Any], **more: Any) -> Any:
        wanted = {"MOCK_AUTH": True, "DATABASE_URL": server_url(name, "misir_login"), **settings, **more}

        async def run() -> Any:
            res = build_resources(Settings(_env_file=None, **wanted), embedder=embedder())
            await res.start()
            try:
                return await work(res)
            finally:
                await res.close()

        return asyncio.run(run())

    receiver = Receiver()
    with (
        running_app(server_url(name, "misir_login"), embedder(), **settings) as api,
        psycopg.connect(server_url(name), autocommit=True) as owner,
    ):
        yield House(api, receiver, owner, work_with)
    receiver.close()
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def house(shared: House) -> Iterator[House]:
    """Nothing is listened to, and nothing waits, when a test begins."""
    yield shared
    for hanging in shared.receiver.hangs.values():
        hanging.set()
    shared.owner.execute("delete from misir.webhook_endpoint")
    shared.owner.execute("delete from misir.webhook_event")


@pytest.fixture
def space(house: House) -> int:
    return int(
        house.ask("POST", "/spaces", json={"name": "S", "subspaces": [{"name": "Sea", "markers": ["sea"]}]})[
            "id"
        ]
    )

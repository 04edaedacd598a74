"""A library of a model whose meanings a test chooses, and a server with another model, of another dimension."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner

from misir.cli import app
from misir.embed.embedder import Embedder, build_embedder
from misir.errors import MisirError
from misir.resources import Resources, build_resources
from misir.settings import Settings

WIDTH = 96
MEANINGS = {"sea": (0, 1), "salt": (0, 2), "wood": (3, 4), "oak": (3, 5), "bread": (6, 7), "oven": (6, 8)}
"""In the new model: the axes on which a word lies."""


class Server(ThreadingHTTPServer):
    """Speaks /v1/embeddings. It answers for `n_free` texts; the next wait until they `may_go`, or are refused."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counting = threading.Lock()
        self.n_free = sys.maxsize
        self.is_failing = False
        self.is_waiting = threading.Event()
        self.may_go = threading.Event()

    @property
    def model(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1#words@{WIDTH}"

    def handle_error(self, *_: Any) -> None:
        """Quiet: a client that was killed is what one test is about."""

    def vector(self, text: str) -> np.ndarray:
        axes = [axis for word in text.lower().split() for axis in MEANINGS.get(word, ())]
        if axes:
            return np.bincount(axes, minlength=WIDTH).astype("<f4")
        return np.random.default_rng(list(text.encode())).standard_normal(WIDTH).astype("<f4")


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        with self.server.counting:
            self.server.n_free -= len(texts)
            is_held = self.server.n_free < 0
        if is_held and self.server.is_failing:
            self.send_error(500)
            return
        if is_held:
            self.server.is_waiting.set()
            self.server.may_go.wait(60)
        rows = [
            {"index": index, "embedding": base64.b64encode(self.server.vector(text).tobytes()).decode()}
            for index, text in enumerate(texts)
        ]
        content = json.dumps({"data": rows}).encode()
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet: pytest's output is for the tests."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Library:
    """A database of its own, with its URLs, and the app of the old model on it."""

    def __init__(self, name: str, server_url: Callable[..., str], old: Embedder, new: Server) -> None:
        self.app_url = server_url(name, "misir_login")
        self.service_url = server_url(name, "misir_worker")
        self.owner_url = server_url(name)
        self.old, self.new = old, new
        self.api: httpx.Client

    def settings(self, **more: Any) -> Settings:
        wanted = {
            "MOCK_AUTH": True,
            "DATABASE_URL": self.app_url,
            "DATABASE_SERVICE_URL": self.service_url,
            "DATABASE_MIGRATE_URL": self.owner_url,
            "EMBEDDING_MODEL": self.new.model,
        }
        return Settings(_env_file=None, **{**wanted, **more})

    def environment(self) -> dict[str, str]:
        """For a command in a process of its own."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("EMBEDDING", "MISIR"))
        }
        return kept | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MOCK_AUTH": "True",
            "DATABASE_URL": self.app_url,
            "DATABASE_SERVICE_URL": self.service_url,
            "DATABASE_MIGRATE_URL": self.owner_url,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`misir reembed …`, running."""
        return subprocess.Popen(
            [Path(sys.executable).parent / "misir", "reembed", *words],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reembed(self, *words: str) -> tuple[int, str, str]:
        """`misir reembed …` in this process: exit code, what it printed, why it was refused."""
        ours = dict.fromkeys((name for name in os.environ if name not in self.environment()), None)
        done = CliRunner().invoke(app, ["reembed", *words], env={**ours, **self.environment()})
        why = done.exception.detail if isinstance(done.exception, MisirError) else ""
        assert why or done.exit_code == 0, (done.output, done.exception)
        return done.exit_code, done.stdout, why

    def ask(self, method: str, path: str, *, expect: int = 200, **sent: Any) -> Any:
        answer = self.api.request(method, f"/api/v1{path}", **sent)
        assert answer.status_code == expect, (method, path, answer.status_code, answer.text)
        return answer.json()

    def capture(self, space: int, name: str, title: str | None, **more: Any) -> dict[str, Any]:
        page = {"space_id": space, "url": f"https://x.example/{name}", "title": title, **more}
        return dict(self.ask("POST", "/capture", expect=201, json=page))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database holds, as its owner sees it."""
        with psycopg.connect(self.owner_url) as conn:
            return conn.execute(query.encode()).fetchall()

    def with_resources(self, work: Callable[[Resources], Any]) -> Any:
        """`await work(resources)` under the new model."""

        async def run() -> Any:
            settings = self.settings()
            res = build_resources(settings, embedder=build_embedder(settings))
            await res.start()
            try:
                return await work(res)
            finally:
                await res.close()

        return asyncio.run(run())


def make_library(
    name: str,
    server_url: Callable[..., str],
    running_app: Callable[..., Any],
    fakes: Any,
    server: Server,
) -> Iterator[Library]:
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    one = fakes.direction
    meanings = {"sea": one(1), "salt": one(1, 0.4), "wood": one(0, 0, 1), "oak": one(0, 0, 1, 0.4)}
    meanings |= {"bread": one(0, 0, 0, 0, 1), "oven": one(0, 0, 0, 0, 1, 0.3)}
    library = Library(name, server_url, fakes.embedder_of(**meanings), server)
    with running_app(library.app_url, library.old) as library.api:
        yield library
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


@pytest.fixture(scope="module")
def library(
    server_url: Callable[..., str], running_app: Callable[..., Any], fakes: Any, server: Server
) -> Iterator[Library]:
    yield from make_library(f"reembed_{os.getpid()}", server_url, running_app, fakes, server)


@pytest.fixture(scope="module")
def small(
    server_url: Callable[..., str], running_app: Callable[..., Any], fakes: Any, server: Server
) -> Iterator[Library]:
    """Another one, with next to nothing in it."""
    yield from make_library(f"reembed_small_{os.getpid()}", server_url, running_app, fakes, server)

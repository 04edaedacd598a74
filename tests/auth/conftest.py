"""A real key server with real keys, and a mint that signs anything."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ME = "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11"


def new_key(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


first_key = cache(new_key)
"""The keys every project begins with: an RSA key takes long to find, and need not be another in each test."""


class Project:
    """A Supabase project as far as tokens go: signing keys, the address that publishes them, and its users."""

    def __init__(self) -> None:
        self.private: dict[str, tuple[str, Any]] = {}
        self.published: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.status = 200
        self.delay_s = 0.0
        self.body: bytes | None = None
        project = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                project.requests.append(self.path)
                time.sleep(project.delay_s)
                body = project.body or project.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(project.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        for kid, algorithm in (("ec-1", "ES256"), ("rsa-1", "RS256")):
            self._publish(kid, algorithm, first_key(algorithm))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str) -> bytes:
        if path.endswith("jwks.json"):
            return json.dumps({"keys": self.published}).encode()
        claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
        return json.dumps({"id": claims["sub"]}).encode()

    def add_key(self, kid: str, algorithm: str) -> None:
        self._publish(kid, algorithm, new_key(algorithm))

    def _publish(self, kid: str, algorithm: str, key: Any) -> None:
        self.private[kid] = (algorithm, key)
        algorithms = {"ES256": jwt.algorithms.ECAlgorithm, "RS256": jwt.algorithms.RSAAlgorithm}
        public = algorithms[algorithm].to_jwk(key.public_key(), as_dict=True)
        self.published.append({**public, "kid": kid, "alg": algorithm, "use": "sig"})

    def drop_key(self, kid: str) -> None:
        self.published = [key for key in self.published if key["kid"] != kid]

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": f"{self.url}/auth/v1",
            "aud": "authenticated",
            "role": "authenticated",
            "sub": ME,
            "iat": now - 5,
            "exp": now + 3600,
            "session_id": str(uuid.uuid4()),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "ec-1", *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        algorithm, key = self.private[kid]
        headers = {"kid": kid, **(header or {})}
        return jwt.encode(self.claims(**changes), key, algorithm=algorithm, headers=headers)


@pytest.fixture
def project() -> Iterator[Project]:
    project = Project()
    yield project
    project.close()


@pytest.fixture(scope="module")
def module_project() -> Iterator[Project]:
    """One for what a whole module prepares."""
    project = Project()
    yield project
    project.close()


@pytest.fixture
def guarded(run_app: Callable[..., httpx.Client], project: Project) -> httpx.Client:
    """Misir behind the project's sign-in."""
    return run_app(MOCK_AUTH=False, SUPABASE_URL=project.url)


def ask(client: httpx.Client, token: str | None, path: str = "/api/v1/capture") -> httpx.Response:
    return client.get(path, headers={"Authorization": f"Bearer {token}"} if token is not None else {})


@pytest.fixture(name="ask")
def ask_fixture() -> Callable[..., httpx.Response]:
    return ask

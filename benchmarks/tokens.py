"""CPU of verifying a token: new ones of both algorithms, and one seen before. `python benchmarks/tokens.py`

Prints medians over rounds, all kinds interleaved in one run (target: at most 250 µs a new token).
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.requests import HTTPConnection

from misir.plumbing.auth import SupabaseTokens
from misir.plumbing.jwks import KeySet, SigningKey
from misir.plumbing.token import Rules

ISSUER = "https://project.example/auth/v1"
ROUNDS, TOKENS = 15, 200


class KnownKeys(KeySet):
    """Keys that are there already: what is measured is the verification, not the network."""

    def __init__(self, keys: dict[str, SigningKey]) -> None:
        super().__init__("https://project.example/none")
        self._keys, self._fetched_at = keys, time.monotonic()


def mint(key: Any, algorithm: str) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": "authenticated", "role": "authenticated", "sub": str(uuid.uuid4()), "iat": now, "exp": now + 3600,
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm, headers={"kid": algorithm})


def request(token: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


async def cpu_us(verifier: SupabaseTokens, tokens: list[str]) -> float:
    requests = [request(token) for token in tokens]
    started = time.process_time()
    for one in requests:
        await verifier.verify(one)
    return (time.process_time() - started) / len(tokens) * 1e6


async def main() -> None:
    private = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
    }
    keys = {name: SigningKey(name, key.public_key()) for name, key in private.items()}
    verifier = SupabaseTokens(Rules(ISSUER), keys=KnownKeys(keys))
    measured: dict[str, list[float]] = {"ES256, new": [], "RS256, new": [], "seen before": []}
    for _ in range(ROUNDS):
        for name, key in private.items():
            tokens = [mint(key, name) for _ in range(TOKENS)]
            measured[f"{name}, new"].append(await cpu_us(verifier, tokens))
        measured["seen before"].append(await cpu_us(verifier, tokens))
    for kind, rounds in measured.items():
        print(
            f"{kind}: {statistics.median(rounds):.0f} µs CPU (rounds {min(rounds):.0f} to {max(rounds):.0f})"
        )


if __name__ == "__main__":
    asyncio.run(main())

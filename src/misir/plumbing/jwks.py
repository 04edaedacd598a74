"""The project's public signing keys, fetched from its key server as seldom as possible."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
import orjson

log = logging.getLogger(__name__)

TTL_S: Final = 300.0
COOLDOWN_S: Final = 10.0
"""Least time between two fetches, failed ones included: unknown key ids cannot make us ask more often."""

STALE_S: Final = 24 * 3600.0
"""How long keys stay good while the key server cannot be reached."""

TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 32
MAX_KID: Final = 256

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None)}
"""The key type and curve that belongs to each algorithm we accept."""


class KeysUnavailableError(Exception):
    """Nobody can say which keys are good: the key server does not answer and nothing usable is remembered."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key and the one algorithm it may verify."""

    algorithm: str
    key: Any


class KeySet:
    """Keys by id. One fetch at a time serves everybody who waits; failures fall back on what is known."""

    def __init__(
        self,
        url: str,
        *,
        ttl_s: float = TTL_S,
        cooldown_s: float = COOLDOWN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._ttl_s, self._cooldown_s, self._clock = ttl_s, cooldown_s, clock
        self._keys: dict[str, SigningKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        # No proxy from the environment and no redirect: keys come from the configured address or not at all.
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)

    async def find(self, kid: str) -> SigningKey | None:
        """The key with this id, None when there is none. Raises KeysUnavailableError when nobody knows."""
        if self._is_fresh() and kid in self._keys:
            return self._keys[kid]
        await self._refresh(kid)
        known = self._clock() - self._fetched_at < STALE_S
        if known and kid in self._keys:
            return self._keys[kid]
        if self._tried_at > self._fetched_at or not known:
            raise KeysUnavailableError
        return None

    def purge(self) -> None:
        """Forget everything, the cooldown too: the next token asks the key server."""
        self._keys = {}
        self._fetched_at = self._tried_at = float("-inf")

    async def aclose(self) -> None:
        await self._http.aclose()

    def _is_fresh(self) -> bool:
        return self._clock() - self._fetched_at < self._ttl_s

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            is_needed = not self._is_fresh() or kid not in self._keys
            if not is_needed or self._clock() - self._tried_at < self._cooldown_s:
                return
            self._tried_at = self._clock()
            try:
                keys = await self._fetch()
            except (httpx.HTTPError, ValueError) as error:
                log.warning("the key server %s gave no keys: %s", self.url, type(error).__name__)
                return
            self._keys, self._fetched_at = keys, self._tried_at

    async def _fetch(self) -> dict[str, SigningKey]:
        async with self._http.stream("GET", self.url, headers={"Accept": "application/json"}) as answer:
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("too large")
        return read_keys(orjson.loads(body))


def read_keys(document: Any) -> dict[str, SigningKey]:
    """The usable keys of a JWK set (RFC 7517) by id, others skipped; ValueError when it is no such set.

    >>> read_keys({"keys": [{"kty": "oct", "kid": "secret", "k": "AAAA"}]})
    {}
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("no JWK set")  # noqa: TRY004 - one kind of error for every unusable document
    found = (_read_key(entry) for entry in document["keys"][:MAX_KEYS])
    return {kid: key for kid, key in found if key is not None}


def _read_key(entry: Any) -> tuple[str, SigningKey | None]:
    """A public EC P-256 or RSA key meant for signatures. `alg` may be missing: the type says it, too."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or len(entry["kid"]) > MAX_KID:
        return "", None
    wanted = (entry.get("kty"), entry.get("crv"))
    algorithm = next((name for name, kind in ALGORITHMS.items() if kind == wanted), None)
    is_meant = entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm
    if algorithm is None or not is_meant:
        return "", None
    try:
        return entry["kid"], SigningKey(algorithm, jwt.PyJWK(entry, algorithm).key)
    except jwt.PyJWTError:
        return "", None

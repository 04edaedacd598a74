"""Who is asking. Identity comes from the bearer token only; MOCK_AUTH=True makes everyone the local user.

Every refusal is the same 401 for the caller; its reason is for the log.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx
from starlette.requests import HTTPConnection

from misir.errors import MisirError, forbidden, unauthorized, unavailable
from misir.plumbing.client_ip import is_loopback_peer
from misir.plumbing.jwks import ALGORITHMS, MAX_KID, KeySet, KeysUnavailableError
from misir.plumbing.metrics import count_auth_refusal
from misir.plumbing.token import (
    LEEWAY_S,
    Header,
    RefusedError,
    Rules,
    read_claims,
    read_header,
    require_signature,
)

log = logging.getLogger(__name__)

MAX_TOKEN: Final = 8192
REMEMBER_S: Final = 60.0
"""How long a verified token is taken at its word, its own end permitting."""

MAX_REMEMBERED: Final = 10_000
REMOTE_TIMEOUT_S: Final = 3.0

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)

READ, WRITE, ADMIN = "read", "write", "admin"
ALL_SCOPES = frozenset({READ, WRITE, ADMIN})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from. `scopes` of read, write, admin; `is_admin`: may act on other users' data."""

    user_id: uuid.UUID
    scopes: frozenset[str] = ALL_SCOPES
    is_admin: bool = False


class Verifier(Protocol):
    """Turns a request's token into a principal, or raises MisirError 401 (refused) or 503 (cannot tell)."""

    async def verify(self, request: HTTPConnection) -> Principal: ...

    def purge(self) -> None: ...

    async def aclose(self) -> None: ...


def sent_credentials(request: HTTPConnection) -> list[bytes]:
    """The values of the Authorization headers, of which there should be one."""
    return [value for name, value in request.scope["headers"] if name == b"authorization"]


def bearer_of(request: HTTPConnection) -> str:
    """The token of the one Authorization header. Raises RefusedError for none, and for more."""
    sent = sent_credentials(request)
    match = _BEARER.fullmatch(sent[0].decode("latin-1")) if len(sent) == 1 else None
    if match is None:
        raise RefusedError("no bearer token")
    if len(match[1]) > MAX_TOKEN:
        raise RefusedError("token too long")
    return match[1]


class LocalUser:
    """MOCK_AUTH=True: one user, whatever the request says, for callers on this machine."""

    def __init__(self, user_id: uuid.UUID, *, is_remote_allowed: bool) -> None:
        self.principal = Principal(user_id)
        self.is_remote_allowed = is_remote_allowed

    async def verify(self, request: HTTPConnection) -> Principal:
        if not self.is_remote_allowed and not is_loopback_peer(request.scope):
            raise forbidden(
                "This server runs with MOCK_AUTH=True and answers callers on its own machine only: sign-in "
                "is off. Set MOCK_AUTH=False and SUPABASE_URL, or MOCK_AUTH_ALLOW_REMOTE=True if you mean it."
            )
        return self.principal

    def purge(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class NoProvider:
    """MOCK_AUTH=False and nobody to ask: nothing is 401, a well-formed token is 503."""

    async def verify(self, request: HTTPConnection) -> Principal:
        try:
            read_header(bearer_of(request))
        except RefusedError as reason:
            raise refuse(reason) from None
        raise unavailable("There is no identity provider configured: set SUPABASE_URL.", retry_after_s=60)

    def purge(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def refuse(reason: RefusedError) -> MisirError:
    log.info("token refused: %s", reason.args[0])
    count_auth_refusal(reason.args[0])
    return unauthorized()


class _Remembered:
    """Verified tokens by SHA-256, for REMEMBER_S or until they end, the oldest forgotten first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def get(self, token: str) -> Principal | None:
        found = self._known.get(_fingerprint(token))
        return found[0] if found is not None and self._clock() < found[1] else None

    def put(self, token: str, principal: Principal, expires_at: float) -> None:
        self._known[_fingerprint(token)] = (principal, min(expires_at, self._clock() + REMEMBER_S))
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def clear(self) -> None:
        self._known.clear()


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class SupabaseTokens:
    """Tokens signed with the project's own keys: ES256 or RS256 by JWKS, or HS256 by the shared secret.

    Order: size and shape, header, key, signature and claims; nothing of a token is believed before that.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        keys: KeySet | None = None,
        secret: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (keys is None) == (secret is None):
            raise ValueError("either public keys or a shared secret, never both")
        self._rules, self._keys, self._secret = rules, keys, secret
        self._remembered, self._clock = _Remembered(clock), clock

    async def verify(self, request: HTTPConnection) -> Principal:
        try:
            token = bearer_of(request)
            return self._remembered.get(token) or await self._verify_new(token)
        except RefusedError as reason:
            raise refuse(reason) from None
        except KeysUnavailableError:
            raise unavailable(
                "The identity provider's keys cannot be fetched: try again in a moment."
            ) from None

    async def _verify_new(self, token: str) -> Principal:
        algorithm, key = await self._key_for(read_header(token))
        require_signature(token, key, algorithm)
        claims = read_claims(token, self._rules, self._clock())
        principal = principal_of(claims)
        self._remembered.put(token, principal, claims["exp"] + LEEWAY_S)
        return principal

    async def _key_for(self, header: Header) -> tuple[str, Any]:
        """The key this token names, if it is of the algorithm this token names."""
        if self._keys is None:
            if header.algorithm != "HS256":
                raise RefusedError("algorithm")
            return "HS256", self._secret
        if header.algorithm not in ALGORITHMS or not isinstance(header.kid, str):
            raise RefusedError("algorithm or key id")
        if not 0 < len(header.kid) <= MAX_KID:
            raise RefusedError("key id")
        key = await self._keys.find(header.kid)
        if key is None or key.algorithm != header.algorithm:
            raise RefusedError("unknown key")
        return key.algorithm, key.key

    def purge(self) -> None:
        """Forget keys and verified tokens: after a key was revoked."""
        self._remembered.clear()
        if self._keys is not None:
            self._keys.purge()

    async def aclose(self) -> None:
        if self._keys is not None:
            await self._keys.aclose()


class RemoteCheck:
    """HS256 projects whose secret stays with Supabase: its auth server is asked, then believed a minute."""

    def __init__(
        self, rules: Rules, base_url: str, api_key: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._rules, self._clock = rules, clock
        self._url = f"{base_url}/auth/v1/user"
        self._remembered = _Remembered(clock)
        self._http = httpx.AsyncClient(
            timeout=REMOTE_TIMEOUT_S, trust_env=False, follow_redirects=False, headers={"apikey": api_key}
        )

    async def verify(self, request: HTTPConnection) -> Principal:
        try:
            token = bearer_of(request)
            return self._remembered.get(token) or await self._ask(token)
        except RefusedError as reason:
            raise refuse(reason) from None

    async def _ask(self, token: str) -> Principal:
        """What cannot be accepted is refused here, so that hostile tokens cost the auth server nothing."""
        if read_header(token).algorithm != "HS256":
            raise RefusedError("algorithm")
        claims = read_claims(token, self._rules, self._clock())
        try:
            answer = await self._http.get(self._url, headers={"Authorization": f"Bearer {token}"})
        except httpx.HTTPError:
            raise unavailable("The identity provider does not answer: try again in a moment.") from None
        if answer.status_code in {401, 403, 404}:
            raise RefusedError("the auth server said no")
        if answer.status_code != 200 or answer.json().get("id") != claims["sub"]:
            raise unavailable("The identity provider gave no usable answer: try again in a moment.")
        principal = principal_of(claims)
        self._remembered.put(token, principal, claims["exp"] + LEEWAY_S)
        return principal

    def purge(self) -> None:
        self._remembered.clear()

    async def aclose(self) -> None:
        await self._http.aclose()


def principal_of(claims: dict[str, Any]) -> Principal:
    """app_metadata is the server's to write, never the user's: role admin there makes an administrator."""
    metadata = claims.get("app_metadata")
    is_admin = isinstance(metadata, dict) and metadata.get("role") == "admin"
    return Principal(uuid.UUID(claims["sub"]), ALL_SCOPES, is_admin)

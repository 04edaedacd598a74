"""Signing in by e-mail and password: Supabase's auth server checks them and gives a session's two tokens."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import httpx

from misir.errors import MisirError, unavailable

TIMEOUT_S: Final = 5.0
REMEMBER_S: Final = 10.0
"""A refresh token is good once. Requests that carry the same one within this time get the same new pair."""

MAX_REMEMBERED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """A session: the token that says who somebody is for about an hour, and the one that gets the next."""

    access: str
    refresh: str


class SignIn:
    """The auth server's part in a session. MisirError 401 for its refusals, 503 where it does not answer."""

    def __init__(self, base_url: str, anon_key: str) -> None:
        self._base_url, self._headers = f"{base_url.rstrip('/')}/auth/v1", {"apikey": anon_key}
        self._renewals: OrderedDict[str, tuple[float, asyncio.Task[Tokens]]] = OrderedDict()

    async def with_password(self, email: str, password: str) -> Tokens:
        return await self._ask("password", {"email": email, "password": password})

    async def renew(self, refresh_token: str) -> Tokens:
        """The next pair. However many requests of one browser come at once, the auth server is asked once."""
        now = time.monotonic()
        known = self._renewals.get(refresh_token)
        if known is None or now - known[0] > REMEMBER_S or _has_failed(known[1]):
            asking = asyncio.create_task(self._ask("refresh_token", {"refresh_token": refresh_token}))
            known = self._renewals[refresh_token] = (now, asking)
            while len(self._renewals) > MAX_REMEMBERED:
                self._renewals.popitem(last=False)
        return await asyncio.shield(known[1])

    async def end(self, access_token: str) -> None:
        """Tell the auth server that this session is over; if it does not hear it, the session expires."""
        async with self._client() as client:
            try:
                await client.post(
                    "/logout", params={"scope": "local"}, headers={"Authorization": f"Bearer {access_token}"}
                )
            except httpx.HTTPError:
                return

    def _client(self) -> httpx.AsyncClient:
        # No proxy from the environment and no redirect: a password goes to the configured address or nowhere.
        return httpx.AsyncClient(
            base_url=self._base_url, headers=self._headers, timeout=TIMEOUT_S, trust_env=False
        )

    async def _ask(self, grant: str, sent: dict[str, str]) -> Tokens:
        try:
            async with self._client() as client:
                answer = await client.post("/token", params={"grant_type": grant}, json=sent)
        except httpx.HTTPError:
            raise unavailable("The sign-in service does not answer: try again in a moment.") from None
        if answer.status_code in {400, 401, 403, 422}:
            raise MisirError(401, "unauthorized", _REFUSALS[grant])
        if answer.status_code == 429:
            raise MisirError(429, "too-many-requests", "Too many attempts: wait a minute, then try again.")
        return _read(answer)


def _has_failed(asking: asyncio.Task[Tokens]) -> bool:
    return asking.done() and asking.exception() is not None


_REFUSALS = {
    "password": "E-mail address and password do not belong together, or the address is not confirmed yet.",
    "refresh_token": "Your session has ended: sign in again.",
}


def _read(answer: httpx.Response) -> Tokens:
    try:
        said: Any = answer.json() if answer.status_code == 200 else {}
    except ValueError:
        said = {}
    access, refresh = (said.get(name) if isinstance(said, dict) else None for name in _NAMES)
    if not (isinstance(access, str) and isinstance(refresh, str) and access and refresh):
        raise unavailable("The sign-in service gave no usable answer: try again in a moment.")
    return Tokens(access, refresh)


_NAMES = ("access_token", "refresh_token")

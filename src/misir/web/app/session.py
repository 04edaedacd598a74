"""Who looks at a page: the local user of MOCK_AUTH, or whoever a session cookie of ours belongs to.

The cookies go to /app only and scripts cannot read them; /api/v1 never sees them. Their tokens are believed
by the same verifier as the API's, and renewed when they have run out.
"""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from typing import Annotated, Final, Literal

import orjson
from fastapi import Depends, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response

from misir.deps import resources_of
from misir.errors import MisirError, unauthorized
from misir.plumbing.sign_in import Tokens
from misir.resources import Resources

PATH: Final = "/app"
ACCESS: Final = "misir_access"
REFRESH: Final = "misir_refresh"
KEEP_S: Final = 30 * 24 * 3600
EARLY_S: Final = 30
"""A token that ends within this time is renewed at once, so that it does not end on its way."""

MAX_COOKIE: Final = 3_900
"""Browsers drop a longer one without a word."""


async def current_visitor(request: Request) -> uuid.UUID:
    """The user behind a page, or MisirError 401, which a page answers by showing the way to sign in."""
    res = resources_of(request)
    user_id = await _visitor(request, res)
    request.state.user_id = user_id  # known from here on: pages count against the user
    return user_id


Visitor = Annotated[uuid.UUID, Depends(current_visitor)]


async def _visitor(request: Request, res: Resources) -> uuid.UUID:
    if res.settings.MOCK_AUTH:
        return (await res.verifier.verify(request)).user_id
    access, refresh = request.cookies.get(ACCESS, ""), request.cookies.get(REFRESH, "")
    if access and not _has_ended(access):
        return await _verified(request, res, access)
    if not refresh or res.sign_in is None:
        raise unauthorized()
    tokens = await res.sign_in.renew(refresh)
    request.state.new_tokens = tokens
    return await _verified(request, res, tokens.access)


async def _verified(request: HTTPConnection, res: Resources, access: str) -> uuid.UUID:
    """What the API's verifier says about the cookie's token. Raises MisirError 401 for one it refuses."""
    bearer = (b"authorization", b"Bearer " + access.encode("latin-1", "replace"))
    others = [field for field in request.scope["headers"] if field[0] != b"authorization"]
    asking = HTTPConnection({**request.scope, "headers": [*others, bearer]})
    return (await res.verifier.verify(asking)).user_id


def _has_ended(token: str) -> bool:
    """By its own word, which decides only whether it is worth verifying.

    >>> _has_ended("e30.eyJleHAiOjF9.x"), _has_ended("nonsense")
    (True, False)
    """
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) < time.time() + EARLY_S
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return False


def keep(response: Response, request: Request, tokens: Tokens) -> None:
    """Leave a session with the browser."""
    if max(len(tokens.access), len(tokens.refresh)) > MAX_COOKIE:
        raise MisirError(
            500,
            "internal-error",
            "Your account's token is too long for a browser to keep: its metadata must become shorter.",
        )
    set_cookie(response, request, ACCESS, tokens.access, KEEP_S)
    set_cookie(response, request, REFRESH, tokens.refresh, KEEP_S)


def forget(response: Response) -> None:
    for name in (ACCESS, REFRESH):
        response.delete_cookie(name, path=PATH)


def set_cookie(
    response: Response,
    request: Request,
    name: str,
    value: str,
    max_age_s: int | None = None,
    samesite: Literal["lax", "strict"] = "lax",
) -> None:
    """A cookie of the pages: not for scripts, not for other sites, over TLS only where there is TLS."""
    is_tls = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
    response.set_cookie(
        name, value, max_age=max_age_s, path=PATH, httponly=True, samesite=samesite, secure=is_tls
    )

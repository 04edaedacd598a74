"""The gate before every route below /api/v1: who asks, may they do this, and is any of their limit left.

It stands before the route and not among its dependencies: FastAPI would parse the body of a request that is
refused anyway, and resolve what it depends on anew for every route, which costs more than the checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import update_wrapper
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from misir import limits
from misir.deps import Me, Now, Res, now, require_same_user, resources_of, spend, user_of
from misir.errors import forbidden
from misir.plumbing.auth import ADMIN, READ, WRITE, Principal
from misir.profile.keys import is_api_key, verify_key
from misir.resources import Resources

API: Final = "/api/v1"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE_POSTS: Final = frozenset({"/api/v1/search"})
"""Routes that are a POST only because a question may be long."""

GRANTED: Final = {ADMIN: {READ, WRITE, ADMIN}, WRITE: {READ, WRITE}, READ: {READ}}
USER_ID: Final = {
    "name": "user_id",
    "in": "query",
    "required": False,
    "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "User Id"},
    "description": "Accepted from existing clients; must be the token's user.",
}


GIVEN: Final[dict[Any, Callable[[Request], Any]]] = {
    Me: user_of,
    Res: resources_of,
    Now: lambda _: now(),
}

REQUEST: Final = inspect.Parameter("_request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)


def given_directly(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The endpoint as FastAPI shall see it: what every route asks for comes with the request, and is no
    dependency, each of which costs as much as the whole limit.
    """
    signature = inspect.signature(endpoint, eval_str=True)
    parameters = signature.parameters
    given = {name: GIVEN[one.annotation] for name, one in parameters.items() if _is_given(one)}
    asked = [one.replace(kind=one.KEYWORD_ONLY) for name, one in parameters.items() if name not in given]
    own = next((one.name for one in asked if one.annotation is Request), None)

    async def answer(**values: Any) -> Any:
        request = values[own] if own else values.pop(REQUEST.name)
        return await endpoint(**values, **{name: take(request) for name, take in given.items()})

    update_wrapper(answer, endpoint)
    del answer.__wrapped__  # type: ignore[attr-defined] # FastAPI would look through it
    asked += [] if own else [REQUEST]  # FastAPI gives it to one parameter only
    answer.__signature__ = signature.replace(parameters=asked)  # type: ignore[attr-defined]
    return answer


def _is_given(parameter: inspect.Parameter) -> bool:
    return any(parameter.annotation == one for one in GIVEN)


class GatedRoute(APIRoute):
    """A route that a request reaches with a verified user, the scope its method needs, and within limits."""

    needs: str | None = None
    """A scope that every method of the route needs, whatever it does."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        extra = options.pop("openapi_extra", None) or {}
        extra = {**extra, "parameters": [*extra.get("parameters", []), USER_ID]}
        super().__init__(path, given_directly(endpoint), openapi_extra=extra, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in (self.methods or ()):  # else 405, which is nobody's affair
            await self._admit(Request(scope))
        await super().handle(scope, receive, send)

    async def _admit(self, request: Request) -> None:
        """Raises MisirError: 401 nobody, 403 another user or too small a scope, 429, 503 cannot tell."""
        res, scope = resources_of(request), request.scope
        principal = await current_principal(res, request)
        is_read = scope["method"] in SAFE_METHODS or scope["path"] in SAFE_POSTS
        require_scope(principal, self.needs or (READ if is_read else WRITE))
        if scope["query_string"]:
            for claimed in request.query_params.getlist("user_id"):
                require_same_user(res, principal.user_id, claimed)
        if res.limiter is not None:
            wanted = (scope["method"], self.path, scope["path_params"])
            await spend(res.limiter, scope, limits.bucket_of(res.settings, principal.user_id, *wanted))


class KeyRoute(GatedRoute):
    """What only a signed-in user or a key of the scope admin may do."""

    needs = ADMIN


def gated_router(*, tag: str, route_class: type[GatedRoute] = GatedRoute) -> APIRouter:
    """The router of a room of the API."""
    return APIRouter(prefix=API, tags=[tag], route_class=route_class)


async def current_principal(res: Resources, request: Request) -> Principal:
    """Who is asking, by JWT or by API key; what follows counts against them."""
    if not res.settings.MOCK_AUTH and is_api_key(request):
        principal = await verify_key(res.database, request, now())
    else:
        principal = await res.verifier.verify(request)
    request.scope["state"]["user_id"] = principal.user_id
    return principal


def require_scope(principal: Principal, scope: str) -> None:
    """An API key does what its scopes say; admin includes write, write includes read."""
    if scope not in principal.scopes and not any(scope in GRANTED[one] for one in principal.scopes):
        raise forbidden(f"This API key lacks the scope {scope}: use one that has it.")

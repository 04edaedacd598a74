"""A request's route by look-up: FastAPI tries one route after another, which costs more than all the rest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Scope, Send

UNMATCHED: Final = "unmatched"


class Found(NamedTuple):
    """`template` is "unmatched" where no route answers; `route` is None there, and below a mount."""

    template: str
    route: Route | None


NOTHING: Final = Found(UNMATCHED, None)


class RouteTable:
    """Routes by method and path, known before routing: a request in progress has a route, too.

    A path nobody answers, and a method its path does not answer, share one template: labels stay as few as
    there are routes, whatever is sent.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._exact: dict[tuple[str, str], Found] = {}
        self._patterns: dict[tuple[str, int], list[tuple[re.Pattern[str], Found]]] = defaultdict(list)
        self._mounts: list[str] = []
        for route in routes:
            if isinstance(route, Mount):
                self._mounts.append(route.path)
            elif isinstance(route, Route):
                self._add(route)

    def _add(self, route: Route) -> None:
        found, methods = Found(route.path, route), route.methods or set()
        for method in methods | ({"HEAD"} if "GET" in methods else set()):
            if "{" in route.path:
                self._patterns[method, route.path.count("/")].append((route.path_regex, found))
            else:
                self._exact.setdefault((method, route.path), found)

    def find(self, method: str, path: str) -> Found:
        """A trailing slash on the API means nothing."""
        if path.startswith("/api/") and path.endswith("/"):
            path = path.rstrip("/")
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        for pattern, found in self._patterns.get((method, path.count("/")), ()):
            if pattern.match(path):
                return found
        is_read = method in {"GET", "HEAD"}
        mount = next((one for one in self._mounts if is_read and path.startswith(one + "/")), None)
        return NOTHING if mount is None else Found(mount, None)


class FoundRoute(BaseRoute):
    """First among the application's routes: takes a request to the route that the table found for it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        route = scope["state"].get("route") if scope["type"] == "http" else None
        return (Match.NONE, {}) if route is None else route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["route"].handle(scope, receive, send)

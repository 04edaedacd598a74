"""One request, from its first byte to its last: its route, its numbers, and its line in the log."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Scope, Send

from misir.plumbing.log import MAX_PATH, log_request
from misir.plumbing.metrics import running_metrics

UNMATCHED: Final = "unmatched"
OTHER: Final = "OTHER"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GONE: Final = 499
"""The status of a request whose caller left before there was an answer."""


class Templates:
    """Route templates by method and path, known before routing: a request in progress has a route, too.

    A path nobody answers, and a method its path does not answer, share one value: labels stay as few as
    there are routes, whatever is sent.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._exact: dict[tuple[str, str], str] = {}
        self._patterns: dict[tuple[str, int], list[tuple[re.Pattern[str], str]]] = defaultdict(list)
        self._mounts: list[str] = []
        for route in iter_route_contexts(list(routes)):
            if isinstance(route.original_route, Mount):
                self._mounts.append(str(route.path))
            elif route.path is not None:
                self._add(route.path, route.path_regex, route.methods or set())

    def _add(self, path: str, pattern: re.Pattern[str], methods: set[str]) -> None:
        for method in methods | ({"HEAD"} if "GET" in methods else set()):
            if "{" in path:
                self._patterns[method, path.count("/")].append((pattern, path))
            else:
                self._exact[method, path] = path

    def of(self, method: str, path: str) -> str:
        """The template, or "unmatched". A trailing slash on the API means nothing."""
        if path.startswith("/api/") and path.endswith("/"):
            path = path.rstrip("/")
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        for pattern, template in self._patterns.get((method, path.count("/")), ()):
            if pattern.match(path):
                return template
        is_read = method in {"GET", "HEAD"}
        return next((one for one in self._mounts if is_read and path.startswith(one + "/")), UNMATCHED)


class Visit:
    """Watches the answer pass. It is over when the last byte is about to go out, before the handler returns:
    whoever has an answer finds it counted.
    """

    __slots__ = ("_endpoint", "_method", "_n_bytes", "_route", "_scope", "_send", "_started", "_status")

    def __init__(self, scope: Scope, send: Send, templates: Templates) -> None:
        self._scope, self._send = scope, send
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self._method = scope["method"] if scope["method"] in METHODS else OTHER
        self._endpoint = templates.of(self._method, path)
        self._status = self._n_bytes = 0
        metrics = running_metrics()
        self._route = metrics.route(self._method, self._endpoint) if metrics is not None else None
        self._started: float | None = time.perf_counter()
        if self._route is not None:
            self._route.begin()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = self._scope["state"]["request_id"].encode()
            message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
        elif message["type"] == "http.response.body":
            self._n_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.end()
        await self._send(message)

    def end(self) -> None:
        """Count and log, the first time it is called."""
        if self._started is None:
            return
        seconds, self._started = time.perf_counter() - self._started, None
        status = self._status or GONE
        if self._route is not None:
            self._route.end(status, seconds)
        state = self._scope["state"]
        log_request(
            {
                "method": self._method,
                "route": self._endpoint,
                "path": self._scope["path"][:MAX_PATH],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "bytes": self._n_bytes,
                "user": str(state.get("user_id") or "")[:8] or None,
                "request_id": state["request_id"],
            }
        )

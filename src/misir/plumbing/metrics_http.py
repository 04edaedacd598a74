"""One request, from its first byte to its last: its route, its numbers, and its line in the log."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Final

from starlette.types import Message, Scope, Send

from misir.plumbing.log import MAX_PATH, log_request
from misir.plumbing.metrics import running_metrics
from misir.plumbing.routing import RouteTable

OTHER: Final = "OTHER"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GONE: Final = 499
"""The status of a request whose caller left before there was an answer."""


class Visit:
    """Watches the answer pass. It is over when the last byte is about to go out, before the handler returns:
    whoever has an answer finds it counted.
    """

    __slots__ = ("_endpoint", "_method", "_n_bytes", "_route", "_scope", "_send", "_started", "_status")

    def __init__(self, scope: Scope, send: Send, table: RouteTable) -> None:
        self._scope, self._send = scope, send
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self._method = scope["method"] if scope["method"] in METHODS else OTHER
        self._endpoint, scope["state"]["route"] = table.find(self._method, path)
        self._status = self._n_bytes = 0
        metrics = running_metrics()
        self._route = metrics.route(self._method, self._endpoint) if metrics is not None else None
        self._started: float | None = time.perf_counter()
        if self._route is not None:
            self._route.begin()

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = self._scope["state"]["request_id"].encode()
            message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
        elif message["type"] == "http.response.body":
            self._n_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.end()
        return self._send(message)

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

"""What every request passes on its way in and out: a request id, and one last catch for what went wrong.

A layer that only hands a request on returns what the next one is: a coroutine of its own for that would cost
more than what the layer does.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Awaitable, Mapping

import psycopg
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from misir.errors import MisirError, unavailable
from misir.plumbing.errors_http import DETAILS, problem_response
from misir.plumbing.metrics_http import Visit
from misir.plumbing.routing import RouteTable

log = logging.getLogger("misir.request")

MAX_BODY_BYTES = 8 * 1024 * 1024
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def client_request_id(scope: Scope) -> str:
    """The caller's X-Request-ID when it is short and plain, a new one otherwise."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return uuid.uuid4().hex


class RequestId:
    """Outermost: gives the request its id, finds its route, counts it, and logs one line of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: RouteTable | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = client_request_id(scope)
        if self._table is None:
            self._table = RouteTable(scope["app"].routes)
        visit = Visit(scope, send, self._table)
        try:
            await self.app(scope, receive, visit.send)
        finally:
            visit.end()


class CrossOrigin(CORSMiddleware):
    """Starlette's, and a short way for requests without an Origin: caches must know that one could matter."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] != "http" or any(name == b"origin" for name, _ in scope["headers"]):
            return super().__call__(scope, receive, send)

        def send_varying(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"vary", b"Origin")]
            return send(message)

        return self.app(scope, receive, send_varying)


class BodyLimit:
    """413 beyond `limit` bytes: at once when Content-Length says so, else as soon as that many have come.

    files: addresses that take files, and the bytes each of them may have.
    """

    def __init__(
        self, app: ASGIApp, limit: int = MAX_BODY_BYTES, files: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self.limit = limit
        self.files = files or {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        limit = self.files.get(scope["path"].rstrip("/"), self.limit)
        if _announced_bytes(scope) > limit:
            detail = DETAILS[413].replace("8 MiB", f"{limit // 1024**2} MiB")
            response = problem_response(Request(scope), MisirError(413, "too-large", detail))
            return response(scope, receive, send)
        n_bytes = 0

        async def receive_counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > limit:
                raise HTTPException(413)
            return message

        return self.app(scope, receive_counted, send)


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


class TrailingSlash:
    """`/api/v1/spaces/` is `/api/v1/spaces`: no redirect, since clients lose bodies and tokens on one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"].startswith("/api/") and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/")}
        return self.app(scope, receive, send)


class HeadIsGet:
    """HEAD on the API is GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not scope["path"].startswith("/api/"):
            return self.app(scope, receive, send)

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        return self.app({**scope, "method": "GET"}, receive, send_head)


class CatchAll:
    """Innermost, so that a 500 has CORS headers and the request id, too. Its reason is for the log only."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        def watch(message: Message) -> Awaitable[None]:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            return send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:  # the last place that can still answer
            if has_started:
                raise
            response = problem_response(Request(scope), as_problem(error))
            await response(scope, receive, send)


def as_problem(error: Exception) -> MisirError:
    """A lost database is 503; anything else nobody foresaw is 500, told to the log and not to the caller."""
    if isinstance(error, psycopg.OperationalError):
        log.warning("database lost: %s", type(error).__name__)
        return unavailable("The database went away during this request: send it again.", retry_after_s=2)
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    return MisirError(
        500,
        "internal-error",
        "Something went wrong on our side. Nothing was saved; the log has the request id.",
    )

"""Limits over HTTP: the address stage as pure ASGI middleware, the header fields, and what a refusal says."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from functools import cache

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from misir.errors import MisirError
from misir.plumbing.client_ip import Network, client_ip, network_key
from misir.plumbing.errors_http import problem_response
from misir.plumbing.limiter import Decision, Limiter, Policy

FREE = ("/health", "/metrics", "/dashboard")
NOBODYS = (401, 404, 405)
MAX_REFUSALS = 10_000


def is_free(path: str) -> bool:
    return path == "/" or path.startswith(FREE)


def header_fields(decisions: Sequence[Decision]) -> list[tuple[bytes, bytes]]:
    """RateLimit-Policy and RateLimit, structured fields of draft-ietf-httpapi-ratelimit-headers.

    >>> header_fields([Decision(Policy("capture", 100), True, 99, 60, 0)])
    [(b'ratelimit-policy', b'"capture";q=100;w=60'), (b'ratelimit', b'"capture";r=99;t=60')]
    """
    policies = b", ".join([_policy_field(d.policy) for d in decisions])
    left = ", ".join([f'"{d.policy.name}";r={d.remaining};t={d.reset_s}' for d in decisions]).encode()
    return [(b"ratelimit-policy", policies), (b"ratelimit", left)]


@cache
def _policy_field(policy: Policy) -> bytes:
    return f'"{policy.name}";q={policy.limit};w=60'.encode()


def too_many(decision: Decision) -> MisirError:
    wait_s = max(decision.retry_after_s, 1)
    return MisirError(
        429,
        "too-many-requests",
        f"The limit `{decision.policy.name}` of {decision.limit} a minute is used up: "
        f"try again in {wait_s} second{'s' if wait_s > 1 else ''}.",
        headers={"Retry-After": str(wait_s)},
    )


def remember(scope: Scope, decision: Decision) -> None:
    """For the header fields of the answer, a refusal's and an error's included."""
    scope["state"].setdefault("rate_limits", []).append(decision)


class Refusals:
    """Who is over the limit, with which credentials, until when: a flood is answered without any work."""

    def __init__(self) -> None:
        self.until: OrderedDict[str, tuple[float, Decision]] = OrderedDict()

    def add(self, caller: str, decision: Decision) -> None:
        self.until[caller] = (time.monotonic() + decision.retry_after_s, decision)
        if len(self.until) > MAX_REFUSALS:
            self.until.popitem(last=False)

    def still(self, caller: str) -> Decision | None:
        """The refusal that still holds, its waiting time counted down."""
        if caller not in self.until:
            return None
        until, decision = self.until[caller]
        left_s = int(until - time.monotonic()) + 1
        if until <= time.monotonic():
            del self.until[caller]
            return None
        return Decision(decision.policy, False, 0, left_s, left_s)


class AddressLimit:
    """Counts, by client address, the answers that no verified user is behind, and the pages.

    Whether a user is behind a request is known when its answer starts, so that is when it is counted; over
    the limit, the answer is replaced by 429. User-limited answers only get their header fields here.
    """

    def __init__(
        self, app: ASGIApp, *, unauthenticated: Policy, pages: Policy, trusted: Sequence[Network] = ()
    ) -> None:
        self.app = app
        self.unauthenticated = unauthenticated
        self.pages = pages
        self.trusted = trusted
        self.refusals = Refusals()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or is_free(scope["path"]):
            return self.app(scope, receive, send)
        is_api = _is_api(scope)
        refused = self.refusals.still(self._caller(scope)) if self.refusals.until else None
        if refused is not None:
            scope["app"].state.resources.limiter.decided["refused", refused.policy.name] += 1
            return _refuse(refused, scope, receive, send)
        is_refused = False

        def send_counted(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                if not is_api or "user_id" not in scope["state"]:
                    return send_addressed(message)
                _add_fields(message, scope)  # a verified user's answers are the user stage's affair
            elif is_refused:
                return _nothing()
            return send(message)

        async def send_addressed(message: Message) -> None:
            nonlocal is_refused
            decision = await self._count(scope, message["status"])
            if decision.allowed:
                _add_fields(message, scope)
                await send(message)
                return
            is_refused = True
            if decision.policy is self.pages or message["status"] == 401:
                self.refusals.add(self._caller(scope), decision)
            await _refuse(decision, scope, receive, send)

        return self.app(scope, receive, send_counted)

    async def _count(self, scope: Scope, status: int) -> Decision:
        """The decision on this answer."""
        user_id = scope["state"].get("user_id")
        if user_id is None and (status in NOBODYS or _is_api(scope)):
            policy, key = self.unauthenticated, f"ip:{self._address(scope)}"
        else:
            policy, key = self.pages, f"user:{user_id}" if user_id else f"ip:{self._address(scope)}"
        limiter: Limiter = scope["app"].state.resources.limiter
        decision = await limiter.hit(policy, key)
        remember(scope, decision)
        return decision

    def _address(self, scope: Scope) -> str:
        return network_key(client_ip(scope, self.trusted))

    def _caller(self, scope: Scope) -> str:
        """Address, credentials, and API or page: what a remembered refusal holds for, and nobody else."""
        given = b"\n".join(value for name, value in scope["headers"] if name in {b"authorization", b"cookie"})
        proof = hashlib.sha256(given).hexdigest() if given else ""
        return f"{self._address(scope)} {'api' if _is_api(scope) else 'page'} {proof}"


def _add_fields(message: Message, scope: Scope) -> None:
    if decisions := scope["state"].get("rate_limits"):
        message["headers"] = [*message["headers"], *header_fields(decisions)]


async def _nothing() -> None:
    """In place of what follows a refused answer's start."""


def _is_api(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/api/"))


async def _refuse(decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(Request(scope), too_many(decision))
    response.raw_headers += header_fields([decision])
    await response(scope, receive, send)

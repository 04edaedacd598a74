"""Errors that know their HTTP status, for commands as for routes (plumbing/errors_http.py)."""

from __future__ import annotations

from collections.abc import Mapping


class MisirError(Exception):
    """A refusal a person can act on: `detail` says what is wrong and what to do next.

    `status` is the HTTP status, `slug` names the page below /problems/ that explains it, `headers`
    travel with the answer (Retry-After, WWW-Authenticate).
    """

    def __init__(
        self, status: int, slug: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})


class Answered(Exception):  # noqa: N818 - no error: the request was done before, and this was its answer
    """The kept answer to a request that came again under its Idempotency-Key."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("answered before")
        self.status = status
        self.body = body


def not_found(what: str) -> MisirError:
    """404 for what is absent, deleted, or another user's: the three must look the same."""
    return MisirError(
        404, "not-found", f"{what} was not found. It may have been deleted, or never was yours."
    )


def conflict(detail: str) -> MisirError:
    return MisirError(409, "conflict", detail)


def invalid(detail: str) -> MisirError:
    return MisirError(422, "validation-error", detail)


def unauthorized() -> MisirError:
    """401, the same for every reason: the reason is for the log, not for the caller."""
    return MisirError(
        401,
        "unauthorized",
        "A valid bearer token is required: send `Authorization: Bearer <token>`.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str) -> MisirError:
    return MisirError(403, "forbidden", detail)


def unavailable(detail: str, *, retry_after_s: int = 5) -> MisirError:
    """503: something Misir depends on is not there right now; the caller may come back."""
    return MisirError(503, "unavailable", detail, headers={"Retry-After": str(retry_after_s)})

"""Errors that know their HTTP status, and the one shape every non-2xx answer has (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


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


def not_found(what: str) -> MisirError:
    """404 for what is absent, deleted, or another user's: the three must look the same."""
    return MisirError(404, "not-found", f"{what} was not found. It may have been deleted, or never was yours.")


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


def problem(
    status: int, slug: str, detail: str, *, instance: str, request_id: str, **extra: Any
) -> dict[str, Any]:
    """The body of application/problem+json: type, title, status, detail, instance, request_id."""
    return {
        "type": f"/problems/{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
        **extra,
    }

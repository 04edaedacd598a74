"""The one shape of every non-2xx answer (RFC 9457): of our errors, the router's and the validator's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from misir.errors import Answered, MisirError, invalid


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


PageOf = Callable[[Request, MisirError], Response | None]
"""`app.state.page_of`: a refusal as a page, for a browser that asked for one; None: it is to have JSON."""


def problem_response(request: Request, error: MisirError, **extra: Any) -> Response:
    """A refusal as problem+json, or as a page where a browser asked for a page."""
    page_of: PageOf | None = getattr(getattr(request.scope.get("app"), "state", None), "page_of", None)
    page = page_of(request, error) if page_of is not None else None
    return page if page is not None else _problem_json(request, error, extra)


def _problem_json(request: Request, error: MisirError, extra: Mapping[str, Any]) -> JSONResponse:
    body = problem(
        error.status,
        error.slug,
        error.detail,
        instance=request.url.path,
        request_id=request.scope.get("state", {}).get("request_id", ""),
        **extra,
    )
    varies = {} if request.url.path.startswith("/api/") else {"Vary": "Accept"}
    headers = {**varies, **error.headers}
    return JSONResponse(body, error.status, headers=headers, media_type="application/problem+json")


SLUGS = {
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    422: "validation-error",
}
DETAILS = {
    404: "There is nothing at this address. The API is described at /docs.",
    405: "This address does not answer this method; the Allow header lists the ones it does.",
    422: "The body cannot be read: send JSON in UTF-8.",
    413: "The request is larger than 8 MiB: send fewer or shorter items.",
}


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Every method some route answers at this path; the router itself names those of one route only."""
    documented, path = app.openapi()["paths"], path.rstrip("/")
    templates = [path] if path in documented else [one for one in documented if _fits(one, path)]
    found = {method.upper() for template in templates for method in documented[template]}
    return sorted(found | ({"HEAD"} if "GET" in found else set())) or ["GET", "HEAD"]


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[^/]+\}", "[^/]+", template), path) is not None


def install_error_handlers(app: FastAPI) -> None:
    """Every refusal leaves as problem+json: ours, the router's, and the validator's."""

    async def answer_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, MisirError)  # noqa: S101 - registered for this class only
        return problem_response(request, error)

    async def answer_again(_: Request, kept: Exception) -> Response:
        assert isinstance(kept, Answered)  # noqa: S101 - registered for this class only
        headers = {"Idempotency-Replayed": "true"}
        return Response(kept.body, kept.status, headers, "application/json")

    async def answer_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        # The framework's 400 means a body that is no text: to a client that is a 422 like any other.
        status = 422 if error.status_code == 400 else error.status_code
        detail = DETAILS.get(status, str(error.detail))
        slug = SLUGS.get(status, "http-error")
        headers = dict(error.headers or {})
        if status == 405:
            headers["Allow"] = ", ".join(allowed_methods(app, request.url.path))
        return problem_response(request, MisirError(status, slug, detail, headers=headers))

    async def answer_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        errors = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
        first = errors[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem_response(request, invalid(f"{where}: {first['msg']}"), errors=errors)

    app.add_exception_handler(MisirError, answer_ours)
    app.add_exception_handler(Answered, answer_again)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(RequestValidationError, answer_invalid)

"""What a route may ask for, as annotated parameters."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from misir.plumbing.auth import check_same_user
from misir.resources import Resources


def resources_of(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def current_user(
    request: Request,
    user_id: Annotated[
        str | None,
        Query(max_length=64, description="Accepted from existing clients; must be the token's user."),
    ] = None,
) -> uuid.UUID:
    resources = resources_of(request)
    me = await resources.verifier.verify(request.headers.get("authorization"))
    if not resources.settings.MOCK_AUTH:
        check_same_user(me, user_id)
    request.state.user_id = me
    return me


def now() -> datetime:
    return datetime.now(UTC)


Me = Annotated[uuid.UUID, Depends(current_user)]
Res = Annotated[Resources, Depends(resources_of)]
Now = Annotated[datetime, Depends(now)]


class Problem(BaseModel):
    """RFC 9457 problem details: what every non-2xx answer looks like."""

    type: str = Field(examples=["/problems/not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["The space was not found. It may have been deleted, or never was yours."])
    instance: str = Field(examples=["/api/v1/spaces/7"])
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: these refusals, each as application/problem+json."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": _MEANINGS[status], "content": {"application/problem+json": schema}}
        for status in sorted({401, 403, 422, 500, 503, *statuses})
    }


_MEANINGS = {
    401: "No valid bearer token.",
    403: "The request names another user.",
    404: "Absent, deleted, or another user's.",
    409: "The object's state does not allow this.",
    413: "Larger than 8 MiB.",
    422: "A field is missing or wrong; `errors` says which.",
    500: "Our mistake; nothing was saved.",
    503: "The database or the model is not there right now; Retry-After says when to come back.",
}

"""What a route may ask for, as annotated parameters."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.types import Scope

from misir import limits
from misir.errors import forbidden
from misir.plumbing.limit_http import remember, too_many
from misir.plumbing.limiter import Limiter
from misir.resources import Resources


def resources_of(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


def user_of(request: Request) -> uuid.UUID:
    """Whom the gate found behind the token (gate.py): no route is reached without one."""
    user_id: uuid.UUID = request.scope["state"]["user_id"]
    return user_id


async def current_user(request: Request) -> uuid.UUID:
    return user_of(request)


def require_same_user(res: Resources, me: uuid.UUID, claimed: str | None) -> None:
    """Clients may repeat who they are, in query or body; they may not be somebody else.

    Empty is absent, case is ignored; with MOCK_AUTH=True it means nothing.
    """
    if claimed and claimed.strip().lower() != str(me) and not res.settings.MOCK_AUTH:
        raise forbidden("user_id differs from the user of the token: leave it out, or sign in as that user.")


def now() -> datetime:
    return datetime.now(UTC)


# Coroutines, since FastAPI sends a plain function to a thread and back, for every request.


async def _given_resources(request: Request) -> Resources:
    return resources_of(request)


async def _given_now() -> datetime:
    return now()


Me = Annotated[uuid.UUID, Depends(current_user)]


async def spend(limiter: Limiter | None, scope: Scope, bucket: limits.Bucket, cost: int = 1) -> None:
    """Take `cost` units of a bucket, or refuse with 429; the answer's header fields say what is left."""
    if limiter is None:
        return
    decision = await limiter.hit(*bucket, cost)
    remember(scope, decision)
    if not decision.allowed:
        raise too_many(decision)


Res = Annotated[Resources, Depends(_given_resources)]
Now = Annotated[datetime, Depends(_given_now)]


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
        for status in sorted({401, 403, 422, 429, 500, 503, *statuses})
    }


_MEANINGS = {
    401: "No valid bearer token.",
    403: "The request names another user.",
    404: "Absent, deleted, or another user's.",
    409: "The object's state does not allow this.",
    413: "Larger than 8 MiB.",
    422: "A field is missing or wrong; `errors` says which.",
    429: "This route's limit per minute is used up; Retry-After says when to come back.",
    500: "Our mistake; nothing was saved.",
    503: "The database or the model is not there right now; Retry-After says when to come back.",
}

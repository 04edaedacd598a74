"""Settings, webhooks: other programs that are told what happens here, and how telling them went."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Final, TypeVar, get_args

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.resources import Resources
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show
from misir.webhooks import endpoints
from misir.webhooks.outbox import EVENT_TYPES
from misir.webhooks.schemas import EndpointPatch, EndpointWithSecret, NewEndpoint, State

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)
Sent = TypeVar("Sent", bound=BaseModel)

ADDRESS: Final = "/app/settings/webhooks"
N_DELIVERIES: Final = 20
OVERLAPS: Final = {24: "for a day", 168: "for a week", 0: "no longer"}
"""For how many hours deliveries are signed with the old secret, too."""

REASONS: Final = {
    "user": "You switched it off.",
    "gone": "It answered 410: it is gone.",
    "failing": "Nothing it was sent arrived for 5 days.",
}
STATES: Final[tuple[str, ...]] = get_args(State)


@router.get("/settings/webhooks")
async def get_hooks(request: Request, me: Visitor, res: Res) -> Response:
    """Every address that is told."""
    return await _show_list(request, me, res, None)


@router.post("/settings/webhooks")
async def post_hook(request: Request, me: Visitor, res: Res) -> Response:
    """A new address; the secret is on this one answer and nowhere else."""
    new = _read(NewEndpoint, _asked(await read_form(request)))
    return _once(await _show_list(request, me, res, await endpoints.create_endpoint(res, me, new)))


@router.get("/settings/webhooks/{webhook_id}")
async def get_hook(request: Request, me: Visitor, res: Res, webhook_id: PathId) -> Response:
    """One address: what it is told, and what became of each message."""
    return await _show_one(request, me, res, webhook_id, None)


@router.post("/settings/webhooks/{webhook_id}")
async def post_edit(request: Request, me: Visitor, res: Res, webhook_id: PathId) -> Response:
    patch = _read(EndpointPatch, _asked(await read_form(request)))
    await endpoints.patch_endpoint(res, me, webhook_id, patch)
    return go(request, f"{ADDRESS}/{webhook_id}", "Saved.")


@router.post("/settings/webhooks/{webhook_id}/switch")
async def post_switch(request: Request, me: Visitor, res: Res, webhook_id: PathId) -> Response:
    """On or off (`enabled`: yes or no)."""
    is_on = (await read_form(request)).get("enabled") == "yes"
    patch = EndpointPatch.model_validate({"enabled": is_on})
    await endpoints.patch_endpoint(res, me, webhook_id, patch)
    said = (
        "It is on: what waited is sent now." if is_on else "It is off: what happens from now on is not told."
    )
    return go(request, f"{ADDRESS}/{webhook_id}", said)


@router.post("/settings/webhooks/{webhook_id}/rotate")
async def post_rotate(request: Request, me: Visitor, res: Res, now: Now, webhook_id: PathId) -> Response:
    """A new secret, on this one answer."""
    hours = (await read_form(request)).get("overlap") or "24"
    if hours not in {str(one) for one in OVERLAPS}:
        raise invalid("Choose from the list how long the old secret is used, too.")
    made = await endpoints.rotate_secret(res, me, webhook_id, timedelta(hours=int(hours)), now)
    return _once(await _show_one(request, me, res, webhook_id, made))


@router.post("/settings/webhooks/{webhook_id}/test")
async def post_test(request: Request, me: Visitor, res: Res, webhook_id: PathId) -> Response:
    await read_form(request)
    await endpoints.send_test(res, me, webhook_id)
    return go(request, f"{ADDRESS}/{webhook_id}", "A test is on its way: it is the first one below.")


@router.post("/settings/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver")
async def post_redeliver(
    request: Request, me: Visitor, res: Res, webhook_id: PathId, delivery_id: PathId
) -> Response:
    await read_form(request)
    await endpoints.redeliver(res, me, webhook_id, delivery_id)
    return go(request, f"{ADDRESS}/{webhook_id}", "It is sent again, under the same id.")


@router.post("/settings/webhooks/{webhook_id}/delete")
async def post_delete(request: Request, me: Visitor, res: Res, webhook_id: PathId) -> Response:
    await read_form(request)
    await endpoints.delete_endpoint(res, me, webhook_id)
    return go(request, ADDRESS, "Deleted, with everything that was still to be sent to it.")


def _asked(form: Form) -> dict[str, Any]:
    """No event chosen means every one, also those that a later version brings."""
    return {
        "url": form.get("url"),
        "description": form.get("description"),
        "events": form.all("event"),
    }


def _read(kind: type[Sent], asked: dict[str, Any]) -> Sent:
    try:
        return kind.model_validate(asked)
    except ValidationError:
        raise invalid(
            "A webhook needs an address of 2,048 characters at most, and events from the list."
        ) from None


def _once(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


async def _show_list(
    request: Request, me: uuid.UUID, res: Resources, made: EndpointWithSecret | None
) -> Response:
    listed = await endpoints.list_endpoints(res, me, limit=endpoints.MAX_ENDPOINTS)
    values = {"hooks": listed.webhooks, "made": made, "events": EVENT_TYPES, "reasons": REASONS}
    return await show(request, me, "app/webhooks.html", {**values, "tab": "webhooks"}, page="settings")


async def _show_one(
    request: Request, me: uuid.UUID, res: Resources, webhook_id: int, made: EndpointWithSecret | None
) -> Response:
    query = request.query_params
    state = query.get("state") if query.get("state") in STATES else None
    hook = await endpoints.get_endpoint(res, me, webhook_id)
    sent = await endpoints.list_deliveries(
        res, me, webhook_id, limit=N_DELIVERIES, cursor=query.get("cursor") or None, state=state
    )
    values = {
        "hook": hook,
        "made": made,
        "sent": sent,
        "state": state,
        "events": EVENT_TYPES,
        "reasons": REASONS,
        "overlaps": OVERLAPS,
        "tab": "webhooks",
    }
    return await show(request, me, "app/webhook.html", values, page="settings")

"""/webhooks: tell another program what happens here."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Query

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import PathId
from misir.gate import gated_router
from misir.library.schemas import Message
from misir.webhooks import endpoints
from misir.webhooks.schemas import (
    Delivery,
    DeliveryList,
    Endpoint,
    EndpointList,
    EndpointPatch,
    EndpointWithSecret,
    NewEndpoint,
    Rotation,
    State,
)

router = gated_router(tag="webhooks")

Limit = Annotated[int, Query(ge=1, le=100)]


@router.get("/webhooks", responses=problems())
async def list_webhooks(me: Me, res: Res, limit: Limit = 50, cursor: str | None = None) -> EndpointList:
    """All endpoints, with what waits for them and why one is disabled; never their secrets."""
    return await endpoints.list_endpoints(res, me, limit=limit, cursor=cursor)


@router.post("/webhooks", status_code=201, responses=problems(409, 413))
async def post_webhook(me: Me, res: Res, body: NewEndpoint) -> EndpointWithSecret:
    """Have events sent to an address. The secret that signs them is in this answer and never again."""
    require_same_user(res, me, body.user_id)
    return await endpoints.create_endpoint(res, me, body)


@router.get("/webhooks/{webhook_id}", responses=problems(404))
async def get_webhook(me: Me, res: Res, webhook_id: PathId) -> Endpoint:
    return await endpoints.get_endpoint(res, me, webhook_id)


@router.patch("/webhooks/{webhook_id}", responses=problems(404, 413))
async def patch_webhook(me: Me, res: Res, webhook_id: PathId, body: EndpointPatch) -> Endpoint:
    """Change where events go, which, or whether; `enabled: true` brings a disabled one back."""
    require_same_user(res, me, body.user_id)
    return await endpoints.patch_endpoint(res, me, webhook_id, body)


@router.delete("/webhooks/{webhook_id}", responses=problems(404))
async def delete_webhook(me: Me, res: Res, webhook_id: PathId) -> Message:
    """Nothing is sent there any more, not even what waits."""
    await endpoints.delete_endpoint(res, me, webhook_id)
    return Message(message="Deleted, with everything that was still to be sent to it.")


@router.post("/webhooks/{webhook_id}/rotate", responses=problems(404, 413))
async def post_rotate(
    me: Me, res: Res, now: Now, webhook_id: PathId, body: Rotation | None = None
) -> EndpointWithSecret:
    """A new secret. Until the overlap ends, deliveries carry a signature by each."""
    body = body or Rotation.model_validate({})
    require_same_user(res, me, body.user_id)
    return await endpoints.rotate_secret(res, me, webhook_id, timedelta(hours=body.overlap_hours), now)


@router.post("/webhooks/{webhook_id}/test", status_code=202, responses=problems(404, 409))
async def post_test(me: Me, res: Res, webhook_id: PathId) -> Delivery:
    """Send a `webhook.test` event; the delivery's log tells how it went."""
    return await endpoints.send_test(res, me, webhook_id)


@router.get("/webhooks/{webhook_id}/deliveries", responses=problems(404))
async def list_deliveries(
    me: Me,
    res: Res,
    webhook_id: PathId,
    limit: Limit = 50,
    cursor: str | None = None,
    state: State | None = None,
) -> DeliveryList:
    """What was sent, or is to be sent, with every try; newest first, kept for 30 days."""
    return await endpoints.list_deliveries(res, me, webhook_id, limit=limit, cursor=cursor, state=state)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202, responses=problems(404, 409)
)
async def post_redeliver(me: Me, res: Res, webhook_id: PathId, delivery_id: PathId) -> Delivery:
    """Send an event again, at once, under the same event id."""
    return await endpoints.redeliver(res, me, webhook_id, delivery_id)

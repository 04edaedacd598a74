"""A person's endpoints: made, changed, listed; what was sent to them, and sending it again."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from misir.errors import conflict, not_found
from misir.paging import decode_id, encode_cursor
from misir.plumbing.db import Tx
from misir.plumbing.outbound import require_public_url
from misir.resources import Resources
from misir.webhooks.outbox import SQL, TEST
from misir.webhooks.schemas import (
    Delivery,
    DeliveryList,
    Endpoint,
    EndpointList,
    EndpointPatch,
    EndpointWithSecret,
    NewEndpoint,
)
from misir.webhooks.sign import SECRET_BYTES, secret_text

MAX_ENDPOINTS: Final = 50


async def create_endpoint(res: Resources, user_id: uuid.UUID, new: NewEndpoint) -> EndpointWithSecret:
    """The endpoint with its secret, which is never shown again. 409 when there are 50 already."""
    require_public_url(new.url, res.settings.OUTBOUND_ALLOW)
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed = res.seal().close(secret, str(user_id))
    async with res.database.as_user(user_id) as tx:
        count = await (await tx.ask(SQL.count_endpoints)).fetchone() or {}
        if count["count"] >= MAX_ENDPOINTS:
            raise conflict(f"There are {MAX_ENDPOINTS} webhooks already: delete one first.")
        described = new.model_dump(include={"url", "description", "events"})
        row = await (await tx.ask(SQL.insert_endpoint, described, secret=sealed)).fetchone() or {}
        endpoint = await _read(tx, row["id"])
    return EndpointWithSecret(**endpoint.model_dump(), secret=secret_text(secret))


async def list_endpoints(
    res: Resources, user_id: uuid.UUID, *, limit: int, cursor: str | None = None
) -> EndpointList:
    after_id = decode_id(cursor) or 0
    async with res.database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_endpoints, endpoint_id=None, after_id=after_id, limit=limit + 1)
        total = await tx.ask(SQL.count_endpoints)
        found = [_endpoint(row) for row in await rows.fetchall()]
        count = (await total.fetchone() or {})["count"]
    next_cursor = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return EndpointList(webhooks=found[:limit], count=count, next_cursor=next_cursor)


async def get_endpoint(res: Resources, user_id: uuid.UUID, endpoint_id: int) -> Endpoint:
    async with res.database.as_user(user_id) as tx:
        return await _read(tx, endpoint_id)


async def patch_endpoint(
    res: Resources, user_id: uuid.UUID, endpoint_id: int, patch: EndpointPatch
) -> Endpoint:
    """Enabling looks at once at what has waited meanwhile."""
    if patch.url is not None:
        require_public_url(patch.url, res.settings.OUTBOUND_ALLOW)
    async with res.database.as_user(user_id) as tx:
        changed = await tx.ask(
            SQL.update_endpoint,
            endpoint_id=endpoint_id,
            url=patch.url,
            events=patch.events,
            description=patch.description,
            has_description="description" in patch.model_fields_set,
            is_enabled=patch.enabled,
        )
        if await changed.fetchone() is None:
            raise not_found("The webhook")
        if patch.enabled:
            await tx.ask(SQL.enqueue_deliveries, endpoint_id=endpoint_id)
        endpoint = await _read(tx, endpoint_id)
    res.wake_worker()
    return endpoint


async def delete_endpoint(res: Resources, user_id: uuid.UUID, endpoint_id: int) -> None:
    """With everything that was to be sent to it."""
    async with res.database.as_user(user_id) as tx:
        if await (await tx.ask(SQL.delete_endpoint, endpoint_id=endpoint_id)).fetchone() is None:
            raise not_found("The webhook")


async def rotate_secret(
    res: Resources, user_id: uuid.UUID, endpoint_id: int, overlap: timedelta, now: datetime
) -> EndpointWithSecret:
    """A new secret; for a while deliveries carry a signature by each, so that no receiver misses one."""
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed = res.seal().close(secret, str(user_id))
    async with res.database.as_user(user_id) as tx:
        asked = {"endpoint_id": endpoint_id, "secret": sealed, "old_until": now + overlap}
        if await (await tx.ask(SQL.rotate_secret, asked)).fetchone() is None:
            raise not_found("The webhook")
        endpoint = await _read(tx, endpoint_id)
    return EndpointWithSecret(**endpoint.model_dump(), secret=secret_text(secret))


async def list_deliveries(
    res: Resources,
    user_id: uuid.UUID,
    endpoint_id: int,
    *,
    limit: int,
    cursor: str | None = None,
    state: str | None = None,
) -> DeliveryList:
    """Newest first."""
    before = decode_id(cursor)
    async with res.database.as_user(user_id) as tx:
        await _read(tx, endpoint_id)
        asked = {"endpoint_id": endpoint_id, "before_id": before, "delivery_id": None, "state": state}
        rows = await (await tx.ask(SQL.list_deliveries, asked, limit=limit + 1)).fetchall()
    found = [Delivery.model_validate(row) for row in rows]
    next_cursor = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return DeliveryList(deliveries=found[:limit], next_cursor=next_cursor)


async def redeliver(res: Resources, user_id: uuid.UUID, endpoint_id: int, delivery_id: int) -> Delivery:
    """Send it again, whatever became of it; with the same event id. 409 while the endpoint is disabled."""
    async with res.database.as_user(user_id) as tx:
        await _require_enabled(tx, endpoint_id)
        asked = {"endpoint_id": endpoint_id, "delivery_id": delivery_id}
        if await (await tx.ask(SQL.redeliver, asked)).fetchone() is None:
            raise not_found("The delivery")
        delivery = await _read_delivery(tx, endpoint_id, delivery_id)
        await tx.ask(SQL.enqueue_deliveries, endpoint_id=endpoint_id)
    res.wake_worker()
    return delivery


async def send_test(res: Resources, user_id: uuid.UUID, endpoint_id: int) -> Delivery:
    """An event that means nothing, the way every event goes; its delivery tells how it went."""
    async with res.database.as_user(user_id) as tx:
        await _require_enabled(tx, endpoint_id)
        data = Jsonb({"webhook_id": endpoint_id, "message": "It works."})
        made = await tx.ask(SQL.emit_to, endpoint_id=endpoint_id, type=TEST, data=data)
        delivery_id = (await made.fetchone() or {})["id"]
        delivery = await _read_delivery(tx, endpoint_id, delivery_id)
        await tx.ask(SQL.enqueue_deliveries, endpoint_id=endpoint_id)
    res.wake_worker()
    return delivery


async def _read(tx: Tx, endpoint_id: int) -> Endpoint:
    rows = await tx.ask(SQL.list_endpoints, endpoint_id=endpoint_id, after_id=0, limit=1)
    row = await rows.fetchone()
    if row is None:
        raise not_found("The webhook")
    return _endpoint(row)


def _endpoint(row: dict[str, Any]) -> Endpoint:
    return Endpoint(**row, enabled=row["disabled_at"] is None)


async def _require_enabled(tx: Tx, endpoint_id: int) -> None:
    if not (await _read(tx, endpoint_id)).enabled:
        raise conflict("The webhook is disabled: enable it first.")


async def _read_delivery(tx: Tx, endpoint_id: int, delivery_id: int) -> Delivery:
    asked = {"endpoint_id": endpoint_id, "delivery_id": delivery_id, "before_id": None, "state": None}
    rows = await tx.ask(SQL.list_deliveries, asked, limit=1)
    row = await rows.fetchone()
    if row is None:
        raise not_found("The delivery")
    return Delivery.model_validate(row)

"""The answer of GET /capture: the contract of POST /capture in one page."""

from __future__ import annotations

import uuid

from misir.capture.ground import SQL
from misir.capture.pending import MAX_PENDING
from misir.capture.pending import SQL as PENDING
from misir.capture.schemas import (
    MAX_CONTENT,
    MAX_TITLE,
    CaptureGuide,
    CaptureRequest,
    LimitLeft,
    RecentCapture,
)
from misir.limits import captures_left
from misir.orient.reading import ContentSource, EngagementLevel
from misir.orient.urls import MAX_URL_LENGTH
from misir.plumbing.http import MAX_BODY_BYTES
from misir.resources import Resources


async def describe_capture(res: Resources, user_id: uuid.UUID) -> CaptureGuide:
    async with res.database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_latest)
        waiting = await tx.ask(PENDING.count_pending, limit=MAX_PENDING)
        latest = [RecentCapture(**row) for row in await rows.fetchall()]
        pending = (await waiting.fetchone() or {})["count"]
    fields = CaptureRequest.model_fields
    return CaptureGuide(
        user_id=str(user_id),
        dimension=res.embedder.dimension,
        embedding_model=res.embedder.fingerprint,
        fields={name: "required" if field.is_required() else "optional" for name, field in fields.items()},
        sizes={
            "request_bytes": MAX_BODY_BYTES,
            "content_characters": MAX_CONTENT,
            "title_characters": MAX_TITLE,
            "url_characters": MAX_URL_LENGTH,
        },
        content_sources=list(ContentSource),
        engagement_levels=list(EngagementLevel),
        limits=await _limits_left(res, user_id),
        latest=latest,
        pending=pending,
    )


async def _limits_left(res: Resources, user_id: uuid.UUID) -> dict[str, LimitLeft]:
    if res.limiter is None:
        return {}
    left = await captures_left(res.limiter, res.settings, user_id)
    return {
        name: LimitLeft(limit=one.limit, remaining=one.remaining, reset_s=one.reset_s)
        for name, one in left.items()
    }

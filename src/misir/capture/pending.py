"""A page that comes while the model is away: taken in, kept, and placed later (catch_up.py)."""

from __future__ import annotations

import uuid
from typing import Any, Final

from psycopg.types.json import Jsonb

from misir.capture.ground import SQL as CAPTURE
from misir.capture.ground import require_open
from misir.capture.page import Page
from misir.capture.schemas import Captured
from misir.errors import unavailable
from misir.jobs.queue import EMBED, enqueue
from misir.orient.reading import decay_rate
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture
from misir.plumbing.sqlfile import load_statements
from misir.receipt import Receipt
from misir.resources import Resources
from misir.webhooks.outbox import emit

SQL = load_statements("misir.capture", "pending.sql")

MAX_PENDING: Final = 5_000
"""Captures of one user that may wait at a time."""

NO_TEXT: Final = bytes(32)
"""The content_hash of a page whose text has no vector yet: no text has it."""


async def put_aside(res: Resources, user_id: uuid.UUID, page: Page, receipt: Receipt) -> Captured:
    """Keep a capture until there is a model.

        ONE transaction: the page, if it is new (without a topic, found by its words); the capture; a job

    Takes lock_space_for_update: the page may be new to two at once. Raises MisirError: 404 unknown space,
    409 archived space, 503 when MAX_PENDING wait already.
    """
    async with res.turns.of(page.request.space_id), res.database.as_user(user_id) as tx:
        await receipt.open(tx)
        captured = await set_down(tx, page)
        await receipt.close(tx, 202, captured)
    count_capture("pending")
    res.wake_worker()
    return captured


async def set_down(tx: Tx, page: Page) -> Captured:
    space_id = page.request.space_id
    locked = await tx.ask(CAPTURE.lock_space_for_update, space_id=space_id)
    waiting = await tx.ask(SQL.count_pending, limit=MAX_PENDING)
    found = await tx.ask(SQL.find_page, space_id=space_id, url_hash=page.url_hash)
    require_open(await locked.fetchone())
    if (await waiting.fetchone() or {})["count"] >= MAX_PENDING:
        raise unavailable(
            f"The model is away and {MAX_PENDING:,} captures wait for it already: send this one later.",
            retry_after_s=60,
        )
    known = await found.fetchone()
    artifact_id = await _insert_unplaced(tx, page) if known is None else int(known["id"])
    kept = Jsonb(page.request.model_dump(mode="json", exclude_unset=True))
    event = {"event_hash": page.event_hash, "request": kept, "now": page.now}
    await tx.ask(SQL.insert_pending, event, space_id=space_id, artifact_id=artifact_id)
    await enqueue(tx, space_id, page.now, kind=EMBED)
    if known is None:
        await emit(tx, "artifact.created", _told(page, artifact_id))
    return _pending(page, artifact_id, is_new=known is None)


async def _insert_unplaced(tx: Tx, page: Page) -> int:
    return int((await (await tx.ask(SQL.insert_unplaced, _unplaced(page))).fetchone() or {})["id"])


def _unplaced(page: Page) -> dict[str, Any]:
    """What the visit says of the page, as far as nobody has to understand its text."""
    request = page.request
    return {
        "space_id": request.space_id,
        "url": request.url,
        "normalized_url": page.normalized_url,
        "url_hash": page.url_hash,
        "domain": page.domain,
        "title": request.title,
        "content": request.content,
        "content_hash": NO_TEXT,
        "word_count": page.word_count,
        "content_source": page.source,
        "engagement_level": page.level,
        "dwell_time_ms": round(request.dwell_time_ms),
        "active_time_ms": None if request.active_time_ms is None else round(request.active_time_ms),
        "scroll_depth": request.scroll_depth,
        "reading_depth": page.depth,
        "reading_depth_client": page.depth_client,
        "decay_rate": decay_rate(page.source),
        "metadata": Jsonb({"reading_depth_differs": True} if page.is_depth_different else {}),
        "occurred_at": page.occurred_at,
    }


def _told(page: Page, artifact_id: int) -> dict[str, Any]:
    return {
        "artifact_id": artifact_id,
        "space_id": page.request.space_id,
        "subspace_id": None,
        "url": page.request.url,
        "title": page.request.title,
        "engagement_level": page.level,
        "pending": True,
        "cause": "capture",
    }


def _pending(page: Page, artifact_id: int, *, is_new: bool) -> Captured:
    return Captured(
        artifact_id=artifact_id,
        signal_id=None,
        is_new=is_new,
        message="Kept: it is placed as soon as the embedding model is back.",
        subspace_id=None,
        assigned_by=None,
        raw_margin=None,
        fit=0.0,
        probability=0.0,
        engagement_level=page.level,
        reading_depth=page.depth,
        embedding_used=False,
        embedded_fraction=0.0,
        pending=True,
        duplicate_of=None,
        adjusted=page.request.adjusted,
    )

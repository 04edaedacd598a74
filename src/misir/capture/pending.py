"""A page that comes while the model is away: taken in, kept, and placed later (catch_up.py)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from misir.capture.ground import SQL as CAPTURE
from misir.capture.ground import require_open
from misir.capture.page import Page
from misir.capture.schemas import Captured
from misir.capture.values import Row, as_json, metadata_of
from misir.errors import MisirError, unavailable
from misir.jobs.queue import EMBED, enqueue
from misir.orient.reading import decay_rate
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture
from misir.plumbing.sqlfile import load_statements
from misir.receipt import Receipt
from misir.resources import Resources
from misir.webhooks.outbox import emit_all

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
    """One page. Raises MisirError as `put_aside` does, before anything is written."""
    (outcome,) = await set_all_down(tx, page.request.space_id, [page])
    if isinstance(outcome, MisirError):
        raise outcome
    return outcome


async def set_all_down(tx: Tx, space_id: int, pages: Sequence[Page]) -> list[Captured | MisirError]:
    """Pages of one space in their order; each table is read once and written once.

    Takes lock_space_for_update. Raises MisirError 404 and 409, for all of them; an outcome is a 503 where the
    queue was full when that page's turn came.
    """
    hashes = [page.url_hash for page in pages]
    locked = await tx.ask(CAPTURE.lock_space_for_update, space_id=space_id)
    counted = await tx.ask(SQL.count_pending, limit=MAX_PENDING)
    found = await tx.ask(SQL.find_pages, space_id=space_id, url_hashes=hashes)
    waits = await tx.ask(SQL.find_waiting, space_id=space_id, url_hashes=hashes)
    require_open(await locked.fetchone())
    queue = _Queue(
        MAX_PENDING - (await counted.fetchone() or {})["count"],
        {row["url_hash"]: row["id"] for row in await found.fetchall()},
        {(row["url_hash"], row["event_hash"]) for row in await waits.fetchall()},
    )
    has_room = [queue.take(page) for page in pages]
    kept = [page for page, is_kept in zip(pages, has_room, strict=True) if is_kept]
    new = await _write(tx, space_id, kept, queue) if kept else {}
    return [
        _pending(page, queue.ids[page.url_hash], is_new=new.pop(page.url_hash, None) is not None)
        if is_kept
        else _full()
        for page, is_kept in zip(pages, has_room, strict=True)
    ]


@dataclass(slots=True)
class _Queue:
    """What waits, and how much more may: `ids` of the known pages and `events` that wait, by url_hash."""

    n_free: int
    ids: dict[bytes, int]
    events: set[tuple[bytes, bytes]]

    def take(self, page: Page) -> bool:
        """Whether there is room for the page. An event that waits already takes none."""
        if self.n_free <= 0:
            return False
        event = (page.url_hash, page.event_hash)
        self.n_free -= event not in self.events
        self.events.add(event)
        return True


def _full() -> MisirError:
    return unavailable(
        f"The model is away and {MAX_PENDING:,} captures wait for it already: send this one later.",
        retry_after_s=60,
    )


async def _write(tx: Tx, space_id: int, pages: Sequence[Page], queue: _Queue) -> dict[bytes, int]:
    """New pages, what waits, the job, the events. The ids of the new pages, also in `queue`."""
    first = dict[bytes, Page]()
    for page in pages:
        if page.url_hash not in queue.ids:
            first.setdefault(page.url_hash, page)
    new = dict[bytes, int]()
    if first:
        rows = as_json([_unplaced(page) for page in first.values()])
        made = await tx.ask(SQL.insert_unplaced, space_id=space_id, artifacts=rows)
        new = {row["url_hash"]: row["id"] for row in await made.fetchall()}
        queue.ids |= new
    waiting = [
        {
            "artifact_id": queue.ids[page.url_hash],
            "event_hash": page.event_hash,
            "request": page.request.model_dump(mode="json", exclude_unset=True),
            "received_at": page.now,
        }
        for page in pages
    ]
    await tx.ask(SQL.insert_pending, space_id=space_id, captures=as_json(waiting))
    await enqueue(tx, space_id, pages[0].now, kind=EMBED)
    await emit_all(tx, "artifact.created", [_told(page, new[one]) for one, page in first.items()])
    return new


def _unplaced(page: Page) -> Row:
    """What the visit says of the page, as far as nobody has to understand its text."""
    request = page.request
    return {
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
        "metadata": metadata_of(page),
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

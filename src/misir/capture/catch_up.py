"""The model is back: what waited for it is captured now, in the order it came. The job `embed` of a space."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from misir.capture.page import Page, read_page
from misir.capture.pending import SQL
from misir.capture.pipeline import capture_page
from misir.capture.schemas import CaptureRequest
from misir.errors import MisirError
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.receipt import Receipt
from misir.resources import Resources

LATER = load_statements("misir.capture", "catch_up.sql")

N_AT_ONCE: Final = 20
TRY_AGAIN: Final = timedelta(seconds=10)
"""How soon to see whether the model is back."""

REFUSED_AGAIN: Final = timedelta(days=1)
"""How soon to try what its space refused: it may be opened, or restored, by then."""


class AlreadyPlacedError(Exception):
    """Another worker has placed this one."""


class _Taking(Receipt):
    """The capture waits no more: true in the transaction that gives it its signal, or not at all."""

    def __init__(self, pending_id: int) -> None:
        self._pending_id = pending_id

    async def open(self, tx: Tx) -> None:
        taken = await tx.ask(SQL.take_pending, pending_id=self._pending_id)
        if await taken.fetchone() is None:
            raise AlreadyPlacedError


async def place_pending(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> datetime | None:
    """Place what waits in a space; the answer is when to try what is left, or None."""
    after_id = 0
    while rows := await _list(res, user_id, space_id, after_id):
        for row in rows:
            after_id = row["id"]
            try:
                await _place(res, user_id, row)
            except AlreadyPlacedError:
                continue
            except MisirError as refusal:
                if refusal.status == 503:
                    return now + TRY_AGAIN
                await _note(res, user_id, row["id"], refusal)
    async with res.database.as_user(user_id) as tx:
        left = await (await tx.ask(SQL.any_pending, space_id=space_id)).fetchone()
    return None if left is None else now + REFUSED_AGAIN


async def _list(res: Resources, user_id: uuid.UUID, space_id: int, after_id: int) -> list[dict[str, Any]]:
    async with res.database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_pending, space_id=space_id, after_id=after_id, limit=N_AT_ONCE)
        return await rows.fetchall()


async def _place(res: Resources, user_id: uuid.UUID, row: dict[str, Any]) -> None:
    """As it would have been captured when it came; without what it named, where that is gone meanwhile."""
    request = CaptureRequest.model_validate(row["request"])
    page = read_page(request, row["received_at"], res.config)
    try:
        await capture_page(res, user_id, page, _Taking(row["id"]))
    except MisirError as refusal:
        if refusal.status == 503 or not _names_something(request):
            raise
        await capture_page(res, user_id, _plain(page), _Taking(row["id"]))


def _names_something(request: CaptureRequest) -> bool:
    return bool(request.subspace_id or request.session_id or request.matched_marker_ids)


def _plain(page: Page) -> Page:
    """The same event, in the engine's hands."""
    named: dict[str, Any] = {"subspace_id": None, "session_id": None, "matched_marker_ids": []}
    return replace(page, request=page.request.model_copy(update=named))


async def _note(res: Resources, user_id: uuid.UUID, pending_id: int, refusal: MisirError) -> None:
    async with res.database.as_service(user_id) as tx:
        await tx.ask(LATER.note_refusal, pending_id=pending_id, error=refusal.detail)

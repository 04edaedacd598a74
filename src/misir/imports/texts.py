"""The text of pages that an import brought by their title only, fetched afterwards if the user wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from misir.capture.page import read_page
from misir.capture.pipeline import capture_page
from misir.capture.schemas import Captured, CaptureRequest
from misir.errors import MisirError
from misir.imports.run import Run
from misir.imports.source import SQL
from misir.ingest.fetch import fetch
from misir.ingest.ingest import extract
from misir.orient.urls import domain_of
from misir.plumbing.db import Tx
from misir.receipt import Receipt
from misir.resources import Resources

N_AT_ONCE: Final = 8


class _Noting(Receipt):
    """The page's text was fetched: true in the transaction that adds it."""

    def __init__(self, import_id: int, position: int) -> None:
        self._asked = {"import_id": import_id, "position": position, "error": None}

    async def close(self, tx: Tx, status: int, answer: BaseModel) -> None:  # noqa: ARG002 - the interface
        assert isinstance(answer, Captured)  # noqa: S101 - what a capture answers
        await tx.ask(SQL.note_text, self._asked, signal_id=answer.signal_id)


async def fetch_texts(res: Resources, run: Run) -> int:
    """Some pages, no two of one host at a time; how many were left to try."""
    async with res.database.as_user(run.user_id) as tx:
        asked = {"import_id": run.id, "limit": N_AT_ONCE}
        rows = await (await tx.ask(SQL.list_without_text, asked)).fetchall()
    by_host: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        by_host.setdefault(domain_of(row["url"]), []).append(row)
    await asyncio.gather(*(_fetch_in_turn(res, run, pages) for pages in by_host.values()))
    return len(rows)


async def _fetch_in_turn(res: Resources, run: Run, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        try:
            await _fetch_one(res, run, row)
        except (MisirError, ValidationError) as refusal:
            if isinstance(refusal, MisirError) and refusal.status == 503:
                raise
            error = refusal.detail if isinstance(refusal, MisirError) else "Its text cannot be kept."
            async with res.database.as_user(run.user_id) as tx:
                asked = {"import_id": run.id, "position": row["position"], "signal_id": None, "error": error}
                await tx.ask(SQL.note_text, asked)


async def _fetch_one(res: Resources, run: Run, row: dict[str, Any]) -> None:
    """Its title stays; the visit is the one the import brought."""
    fetched = await fetch(row["url"], res.settings.OUTBOUND_ALLOW)
    found = await extract(res, fetched.data, fetched.kind)
    request = CaptureRequest.model_validate(
        {
            "space_id": run.space_id,
            "url": row["url"],
            "content": found.text,
            "captured_at": row["captured_at"],
        }
    )
    page = read_page(request, run.occurred_at, res.config)
    await capture_page(res, run.user_id, page, _Noting(run.id, row["position"]))

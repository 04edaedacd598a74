"""Many captures in one request, with the result that one after the other would have."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from misir.capture.page import Known, Page, Reading, complete_page, merged_text, read_page
from misir.capture.pending import set_down
from misir.capture.pipeline import NO_MODEL, capture_page, embedded, find_known, read_without_model
from misir.capture.schemas import BatchAnswer, BatchFailure, BatchItem, Captured, CaptureRequest
from misir.capture.tell import tell
from misir.capture.write import Taken, TextChanged, take_in
from misir.deps import require_same_user
from misir.errors import MisirError
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture
from misir.resources import Resources

T = TypeVar("T")

CHUNK: Final = 10
"""Captures of one transaction: a space is locked for as long as these take."""

TEXTS_AT_ONCE: Final = 100
"""Texts of one embedding call."""


@dataclass(slots=True)
class Batch:
    """What has become of the items so far. Each fails alone."""

    res: Resources
    user_id: uuid.UUID
    done: list[BatchItem] = field(default_factory=list)
    failed: list[BatchFailure] = field(default_factory=list)

    def succeed(self, index: int, captured: Captured) -> None:
        self.done.append(BatchItem(**captured.model_dump(), index=index))

    def fail(self, index: int, url: Any, status: int, error: str) -> None:
        shown = url if isinstance(url, str) else None
        self.failed.append(BatchFailure(index=index, url=shown, error=error, status=status))


@dataclass(frozen=True, slots=True)
class _Item:
    """One page of the request, and what is known of it."""

    index: int
    page: Page
    known: Known


@dataclass(frozen=True, slots=True)
class _Ready:
    """One page, and what it will leave behind."""

    index: int
    page: Page
    known: Known
    reading: Reading


async def capture_batch(
    res: Resources, user_id: uuid.UUID, items: Sequence[Any], now: datetime
) -> BatchAnswer:
    """Take many pages in.

        read each item                        pure; a wrong one fails alone
        find what is known of all of them     one transaction, no lock
        embed every new text                  batched calls, no connection held
        a transaction for each chunk          take_in for each item, in request order

    Items of one space are decided in request order; without a model they wait for one in that order. Raises
    MisirError 503 without a database: what was taken in before is known when the batch is sent again.
    """
    batch = Batch(res, user_id)
    pages = [(index, _read(batch, index, item, now)) for index, item in enumerate(items)]
    known = await _find_known(batch, [(index, page) for index, page in pages if page is not None])
    by_space: dict[int, list[_Ready]] = {}
    for item in await _embed(batch, known):
        by_space.setdefault(item.page.request.space_id, []).append(item)
    for of_space in by_space.values():
        await _take_all_in(batch, of_space)
    res.wake_worker()
    batch.done.sort(key=lambda one: one.index)
    batch.failed.sort(key=lambda one: one.index)
    return BatchAnswer(successful=batch.done, failed=batch.failed, count=len(batch.done))


def _read(batch: Batch, index: int, item: Any, now: datetime) -> Page | None:
    try:
        request = CaptureRequest.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        url = item.get("url") if isinstance(item, dict) else None
        batch.fail(index, url, 422, f"{where}: {reason}" if where else reason)
        return None
    try:
        require_same_user(batch.res, batch.user_id, request.user_id)
    except MisirError as refusal:
        batch.fail(index, request.url, refusal.status, refusal.detail)
        return None
    return read_page(request, now, batch.res.config)


async def _find_known(batch: Batch, pages: Sequence[tuple[int, Page]]) -> list[_Item]:
    """Those whose space takes captures, with what is known of each."""
    found = []
    async with batch.res.database.as_user(batch.user_id) as tx:
        for index, page in pages:
            try:
                known = await find_known(tx, batch.res, page)
            except MisirError as refusal:
                batch.fail(index, page.request.url, refusal.status, refusal.detail)
                continue
            found.append(_Item(index, complete_page(page, known, batch.res.config), known))
    return found


async def _embed(batch: Batch, items: Sequence[_Item]) -> list[_Ready]:
    """A reading for each, in their order; equal texts are embedded once, TEXTS_AT_ONCE in a call."""
    readings, texts = dict[int, Reading](), dict[int, str]()
    for item in items:
        try:
            reading = read_without_model(batch.res, item.page, item.known)
        except MisirError as refusal:
            batch.fail(item.index, item.page.request.url, refusal.status, refusal.detail)
            continue
        if reading is None:
            texts[item.index] = merged_text(item.page, item.known)
        else:
            readings[item.index] = reading
    for some in batched(texts.items(), TEXTS_AT_ONCE):
        try:
            made = await batch.res.embedder.embed_texts_batch([text for _, text in some], "document")
        except MisirError as refusal:
            if refusal.slug != NO_MODEL:
                raise
            await _put_aside(batch, [item for item in items if item.index in dict(some)])
            continue
        readings |= {index: embedded(text, one) for (index, text), one in zip(some, made, strict=True)}
    return [
        _Ready(item.index, item.page, item.known, readings[item.index])
        for item in items
        if item.index in readings
    ]


async def _put_aside(batch: Batch, items: Sequence[_Item]) -> None:
    """There is no model: these wait for one (pending.py), CHUNK a transaction."""
    for _, of_space in groupby(sorted(items, key=_space_of), key=_space_of):
        for chunk in batched(of_space, CHUNK):
            async with (
                batch.res.turns.of(_space_of(chunk[0])),
                batch.res.database.as_user(batch.user_id) as tx,
            ):
                for item in chunk:
                    await _set_down(batch, tx, item)


def _space_of(item: _Item) -> int:
    return item.page.request.space_id


async def _set_down(batch: Batch, tx: Tx, item: _Item) -> None:
    try:
        batch.succeed(item.index, await set_down(tx, item.page))
    except MisirError as refusal:  # before anything was written
        batch.fail(item.index, item.page.request.url, refusal.status, refusal.detail)
    else:
        count_capture("pending")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Runs of `size` items, the last one shorter.

    >>> list(batched("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    waiting = iter(items)
    while run := list(islice(waiting, size)):
        yield run


async def _take_all_in(batch: Batch, items: Sequence[_Ready]) -> None:
    """One space's items in order, CHUNK a transaction; one whose text changed meanwhile goes by itself."""
    waiting = list(items)
    while waiting:
        chunk, waiting = waiting[:CHUNK], waiting[CHUNK:]
        space_id = chunk[0].page.request.space_id
        async with batch.res.turns.of(space_id), batch.res.database.as_user(batch.user_id) as tx:
            taken = list[tuple[Page, Taken]]()
            n_taken = await _take_chunk_in(batch, tx, chunk, taken)
            await tell(tx, taken)
        if n_taken < len(chunk):
            await _take_alone(batch, chunk[n_taken])
            waiting = [*chunk[n_taken + 1 :], *waiting]


async def _take_chunk_in(
    batch: Batch, tx: Tx, chunk: Sequence[_Ready], all_taken: list[tuple[Page, Taken]]
) -> int:
    """How many of the chunk are settled: all, or those before one that must be read again."""
    for n_settled, item in enumerate(chunk):
        try:
            async with tx.savepoint():
                taken = await take_in(tx, batch.res, item.page, item.known, item.reading)
        except TextChanged:
            return n_settled
        except MisirError as refusal:
            batch.fail(item.index, item.page.request.url, refusal.status, refusal.detail)
            continue
        count_capture(taken.result, taken.captured.fit)
        all_taken.append((item.page, taken))
        batch.succeed(item.index, taken.captured)
    return len(chunk)


async def _take_alone(batch: Batch, item: _Ready) -> None:
    """As a capture of its own: it reads what is there now."""
    try:
        batch.succeed(item.index, await capture_page(batch.res, batch.user_id, item.page))
    except MisirError as refusal:
        batch.fail(item.index, item.page.request.url, refusal.status, refusal.detail)

"""Many captures in one request, with the result that one after the other would have."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from misir.capture.chunk import Taken
from misir.capture.page import Known, Page, Reading, Ready, complete_page, merged_text, read_page
from misir.capture.pending import set_all_down
from misir.capture.pipeline import NO_MODEL, PLANS, capture_page, embedded, find_known, read_without_model
from misir.capture.schemas import BatchAnswer, BatchFailure, BatchItem, Captured, CaptureRequest
from misir.capture.tell import tell
from misir.capture.write import take_in
from misir.deps import require_same_user
from misir.errors import MisirError
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture
from misir.plumbing.turns import breathing
from misir.receipt import Receipt
from misir.resources import Resources

T = TypeVar("T")

_Waiting = tuple[int, Ready]
"""A page with its place in the request."""

CHUNK: Final = 100
"""Most captures of one transaction: a space is locked for as long as these take (decision 0022)."""

SERVER_ERROR: Final = 500


Note = Callable[[Tx, Sequence[tuple[int, Captured]]], Awaitable[None]]
"""Writes down, in the transaction that took them in, what became of items (by their index)."""


async def note_nothing(_: Tx, __: Sequence[tuple[int, Captured]]) -> None:
    """Nobody needs to know."""


class _Noting(Receipt):
    """The note of an item that is taken in by itself."""

    def __init__(self, note: Note, index: int) -> None:
        self._note = note
        self._index = index

    async def close(self, tx: Tx, status: int, answer: BaseModel) -> None:  # noqa: ARG002 - the interface
        assert isinstance(answer, Captured)  # noqa: S101 - what a capture answers
        await self._note(tx, [(self._index, answer)])


@dataclass(slots=True)
class Batch:
    """What has become of the items so far. Each fails alone."""

    res: Resources
    user_id: uuid.UUID
    note: Note = note_nothing
    done: list[BatchItem] = field(default_factory=list)
    failed: list[BatchFailure] = field(default_factory=list)

    def succeed(self, index: int, captured: Captured) -> None:
        self.done.append(BatchItem(**captured.model_dump(), index=index))

    def refuse(self, index: int, page: Page, refusal: MisirError) -> None:
        self.fail(index, page.request.url, refusal.status, refusal.detail)

    def fail(self, index: int, url: Any, status: int, error: str) -> None:
        shown = url if isinstance(url, str) else None
        self.failed.append(BatchFailure(index=index, url=shown, error=error, status=status))


@dataclass(frozen=True, slots=True)
class _Item:
    """One page of the request, and what is known of it."""

    index: int
    page: Page
    known: Known


async def capture_batch(
    res: Resources,
    user_id: uuid.UUID,
    items: Sequence[Any],
    now: datetime,
    note: Note = note_nothing,
    *,
    abouts: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
) -> BatchAnswer:
    """Take many pages in. `abouts` is what is known of some of them (by their index), kept as their metadata.

        read each item                        pure; a wrong one fails alone
        find what is known of all of them     one statement, no lock
        embed every new text                  one call, no connection held
        a transaction for each chunk          take_in (write.py): decided in request order, written at once

    Items of one space are decided in request order; without a model they wait for one in that order. Raises
    MisirError 503 without a database: what was taken in before is known when the batch is sent again.
    """
    batch = Batch(res, user_id, note)
    pages = [(index, _read(batch, index, item, now)) async for index, item in breathing(enumerate(items))]
    told = [(at, replace(page, about=abouts.get(at, {}))) for at, page in pages if page is not None]
    known = await _find_known(batch, told)
    by_space: dict[int, list[_Waiting]] = {}
    for index, ready in await _embed(batch, known):
        by_space.setdefault(ready.page.request.space_id, []).append((index, ready))
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
    if not pages:
        return []
    found = await find_known(batch.res, batch.user_id, [page for _, page in pages])
    items = []
    for (index, page), known in zip(pages, found, strict=True):
        if isinstance(known, MisirError):
            batch.refuse(index, page, known)
        else:
            items.append(_Item(index, complete_page(page, known, batch.res.config), known))
    return items


async def _embed(batch: Batch, items: Sequence[_Item]) -> list[_Waiting]:
    """A reading for each, in their order; equal texts are embedded once, all of them in one call."""
    readings, texts = dict[int, Reading](), dict[int, str]()
    for item in items:
        try:
            reading = read_without_model(batch.res, item.page, item.known)
        except MisirError as refusal:
            batch.refuse(item.index, item.page, refusal)
            continue
        if reading is None:
            texts[item.index] = merged_text(item.page, item.known)
        else:
            readings[item.index] = reading
    if texts:
        try:
            made = await batch.res.embedder.embed_texts_batch([*texts.values()], "document")
        except MisirError as refusal:
            if refusal.slug != NO_MODEL:
                raise
            await _put_aside(batch, [item for item in items if item.index in texts])
        else:
            made_of = breathing(zip(texts.items(), made, strict=True))
            readings |= {index: embedded(text, one) async for (index, text), one in made_of}
    return [
        (item.index, Ready(item.page, item.known, readings[item.index]))
        for item in items
        if item.index in readings
    ]


async def _put_aside(batch: Batch, items: Sequence[_Item]) -> None:
    """There is no model: these wait for one (pending.py), CHUNK a transaction."""
    for space_id, of_space in groupby(sorted(items, key=_space_of), key=_space_of):
        for chunk in batched(of_space, CHUNK):
            for item, outcome in zip(chunk, await _set_chunk_down(batch, space_id, chunk), strict=True):
                if isinstance(outcome, MisirError):
                    batch.refuse(item.index, item.page, outcome)
                else:
                    batch.succeed(item.index, outcome)
                    count_capture("pending")


def _space_of(item: _Item) -> int:
    return item.page.request.space_id


async def _set_chunk_down(
    batch: Batch, space_id: int, chunk: Sequence[_Item]
) -> Sequence[Captured | MisirError]:
    try:
        async with batch.res.turns.of(space_id), batch.res.database.as_user(batch.user_id) as tx:
            outcomes = await set_all_down(tx, space_id, [item.page for item in chunk])
            both = zip(chunk, outcomes, strict=True)
            await batch.note(tx, [(item.index, one) for item, one in both if isinstance(one, Captured)])
            return outcomes
    except MisirError as refusal:
        if refusal.status >= SERVER_ERROR:
            raise
        return [refusal] * len(chunk)  # the space is gone, or archived


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Runs of `size` items, the last one shorter.

    >>> list(batched("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    waiting = iter(items)
    while run := list(islice(waiting, size)):
        yield run


async def _take_all_in(batch: Batch, items: Sequence[_Waiting]) -> None:
    """One space's items in order, at most CHUNK a transaction; what a chunk ends before is in the next."""
    waiting = list(items)
    while waiting:
        settled = await _take_chunk_in(batch, waiting[:CHUNK])
        waiting = waiting[settled:]


async def _take_chunk_in(batch: Batch, chunk: Sequence[_Waiting]) -> int:
    """How many of the chunk's items are settled: at least one."""
    space_id = chunk[0][1].page.request.space_id
    try:
        user = batch.res.database.as_user(batch.user_id, plans=PLANS)
        async with batch.res.turns.of(space_id), user as tx:
            outcomes = await take_in(tx, batch.res, [ready for _, ready in chunk])
            both = zip(chunk, outcomes, strict=False)
            taken = [(index, ready.page, one) for (index, ready), one in both if isinstance(one, Taken)]
            await batch.note(tx, [(index, one.captured) for index, _, one in taken])
            await tell(tx, [(page, one) for _, page, one in taken])
    except MisirError as refusal:
        if refusal.status >= SERVER_ERROR:
            raise
        outcomes = [refusal] * len(chunk)  # the space is gone, or archived
    for (index, ready), outcome in zip(chunk, outcomes, strict=False):
        if isinstance(outcome, MisirError):
            batch.refuse(index, ready.page, outcome)
        elif isinstance(outcome, Taken):
            count_capture(outcome.result, outcome.captured.fit)
            batch.succeed(index, outcome.captured)
        else:
            await _take_alone(batch, index, ready.page)
    return len(outcomes)


async def _take_alone(batch: Batch, index: int, page: Page) -> None:
    """Its text changed since it was read: as a capture of its own it reads what is there now."""
    try:
        noting = _Noting(batch.note, index)
        batch.succeed(index, await capture_page(batch.res, batch.user_id, page, noting))
    except MisirError as refusal:
        batch.refuse(index, page, refusal)

"""The path of a page, told in one function: `capture`."""

from __future__ import annotations

import asyncio
import uuid
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from misir.capture.chunk import Taken
from misir.capture.ground import SQL, require_open
from misir.capture.page import (
    Known,
    Page,
    Reading,
    Ready,
    complete_page,
    hash_content,
    merged_text,
    read_page,
)
from misir.capture.pending import put_aside
from misir.capture.schemas import Captured, CaptureRequest
from misir.capture.tell import tell
from misir.capture.write import take_in
from misir.embed.text import Embedding, document_text
from misir.errors import MisirError, invalid, unavailable
from misir.orient.reading import ContentSource
from misir.orient.simhash import bands
from misir.orient.vectors import Vector, to_half, unit
from misir.plumbing.metrics import count_capture, counted_refusals
from misir.receipt import NO_RECEIPT, Receipt
from misir.resources import Resources

PLANS: Final = "force_generic_plan"
"""A capture's statements look rows up by keys: planning them each time costs more than running them."""

MAX_RACES: Final = 5
"""How often a capture starts again because somebody else changed the page's text meanwhile."""


NO_MODEL: Final = "model-unavailable"


async def capture(
    res: Resources,
    user_id: uuid.UUID,
    request: CaptureRequest,
    now: datetime,
    receipt: Receipt = NO_RECEIPT,
    *,
    about: Mapping[str, Any] | None = None,
) -> Captured:
    """Take one page in. `about` is what the page says of itself, kept as the artifact's metadata.

        read_page                                   pure
        find what is known of it                    one read, no lock; meanwhile
        embed the text, where it is new             no connection held
        ONE transaction                             take_in (write.py)
          lock the space, load what decides         lock_space_for_update
          decide                                    pure
          write what the decision says
          is a topic born?                          spaces/birth.py
          leave word for the worker                 jobs
          tell who listens, keep the answer         outbox, receipt
        commit, then answer

    Safe to repeat (the same event answers with its first signal and teaches nothing) and to run at once with
    others: the space's lock puts decisions in one order. Raises MisirError: 404 unknown space, topic,
    session or marker; 409 archived space; 422 unusable vector; 503 no database. Without a model the page is
    kept and placed later (pending.py).
    """
    page = replace(read_page(request, now, res.config), about=about or {})
    with counted_refusals():
        try:
            return await capture_page(res, user_id, page, receipt)
        except MisirError as refusal:
            if refusal.slug != NO_MODEL:
                raise
        return await put_aside(res, user_id, page, receipt)


async def capture_page(
    res: Resources, user_id: uuid.UUID, page: Page, receipt: Receipt = NO_RECEIPT
) -> Captured:
    """Again from the start whenever the page's text changed under us."""
    for _ in range(MAX_RACES):
        ready = await _make_ready(res, user_id, page)
        try:
            taken = await _take_one_in(res, user_id, ready, receipt)
        except _TextChangedError:
            continue
        count_capture(taken.result, taken.captured.fit)
        res.wake_worker()
        return taken.captured
    raise unavailable(
        "This page is being changed by others at this moment: send the capture again.", retry_after_s=1
    )


async def _make_ready(res: Resources, user_id: uuid.UUID, page: Page) -> Ready:
    async with _embedded_ahead(res, page) as ahead:
        (known,) = await find_known(res, user_id, [page])
        if isinstance(known, MisirError):
            raise known
        visit = complete_page(page, known, res.config)
        return Ready(visit, known, await read_text(res, visit, known, ahead))


@asynccontextmanager
async def _embedded_ahead(res: Resources, page: Page) -> AsyncIterator[Future[Embedding] | None]:
    """A page that brings all of its text is read by the model while the database looks what is known of it.

    Where that turns out to be needless, what the model has not begun is dropped; what it has is in its cache.
    """
    asked = page.request
    if asked.vector is not None or not (asked.title and asked.content):
        yield None
        return
    made = asyncio.ensure_future(res.embedder.embed_text(document_text(asked.title, asked.content)))
    try:
        yield made
    finally:
        if not made.done():
            made.cancel()
            await asyncio.wait((made,))
        if not made.cancelled():
            made.exception()  # whoever needed the vector was told of it


class _TextChangedError(Exception):
    """The page's text is no longer what was embedded: nothing of the transaction may stay."""


async def _take_one_in(res: Resources, user_id: uuid.UUID, ready: Ready, receipt: Receipt) -> Taken:
    space_id = ready.page.request.space_id
    async with res.turns.of(space_id), res.database.as_user(user_id, plans=PLANS) as tx:
        await receipt.open(tx)
        (outcome,) = await take_in(tx, res, [ready])
        if isinstance(outcome, MisirError):
            raise outcome
        if not isinstance(outcome, Taken):
            raise _TextChangedError
        await tell(tx, [(ready.page, outcome)])
        await receipt.close(tx, 201 if outcome.captured.is_new else 200, outcome.captured)
        return outcome


async def find_known(res: Resources, user_id: uuid.UUID, pages: Sequence[Page]) -> list[Known | MisirError]:
    """What the library holds of each page, without a lock: one wait. 404 unknown, 409 archived space."""
    async with res.database.as_user(user_id, plans=PLANS) as tx:
        asked = await tx.ask(
            SQL.find_known,
            space_ids=[page.request.space_id for page in pages],
            url_hashes=[page.url_hash for page in pages],
            needs_contents=[page.request.content is None for page in pages],
            model=res.embedder.fingerprint,
        )
    rows = {row["n"]: row for row in await asked.fetchall()}
    return [_known(rows.get(number)) for number in range(1, len(pages) + 1)]


def _known(row: dict[str, Any] | None) -> Known | MisirError:
    try:
        row = require_open(row)
    except MisirError as refusal:
        return refusal
    if row["artifact_id"] is None:
        return Known()
    vector = None if row["vector"] is None else row["vector"].to_numpy().astype(np.float32)
    fraction = 1.0 if row["fraction"] is None else row["fraction"]
    return Known(
        title=row["title"],
        content=row["content"],
        content_hash=row["content_hash"],
        word_count=row["word_count"],
        source=ContentSource(row["content_source"]),
        vector=vector,
        fraction=fraction,
    )


async def read_text(
    res: Resources, page: Page, known: Known, ahead: Awaitable[Embedding] | None = None
) -> Reading:
    """The vector of the text this capture leaves behind: known, the client's, made `ahead`, or made now."""
    reading = read_without_model(res, page, known)
    if reading is not None:
        return reading
    text = merged_text(page, known)
    return embedded(text, await (ahead or res.embedder.embed_text(text, "document")))


def read_without_model(res: Resources, page: Page, known: Known) -> Reading | None:
    """The reading, where its vector need not be made; else None. 422 for a vector that cannot be used."""
    text = merged_text(page, known)
    sent = _usable_vector(res, page, has_text=bool(text))
    content_hash = hash_content(text, sent)
    if known.vector is not None and known.content_hash == content_hash:
        return Reading(text, content_hash, known.vector, known.fraction, is_clients=False)
    if sent is None:
        return None
    vector = to_half(unit(sent))
    return Reading(text, content_hash, vector, 1.0, is_clients=True, bands=bands(text) if text else None)


def embedded(text: str, made: Embedding) -> Reading:
    """The reading of a text whose vector was made just now."""
    content_hash = hash_content(text, None)
    return Reading(text, content_hash, made.vector, made.fraction, is_clients=False, bands=bands(text))


def _usable_vector(res: Resources, page: Page, *, has_text: bool) -> Vector | None:
    """The client's vector, if it is of our model; else ignored beside a text, refused without one."""
    sent, ours = page.request.vector, res.embedder.fingerprint
    if sent is None:
        return None
    if sent.size != res.embedder.dimension:
        raise invalid(f"embedding: has {sent.size} numbers, this deployment needs {res.embedder.dimension}")
    if page.request.embedding_model == ours:
        return sent
    if has_text:
        return None
    raise invalid(f"embedding_model: must be {ours} to be comparable; or send title or content instead")

"""The path of a page, told in one function: `capture`."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import numpy as np

from misir.capture.page import Known, Page, Reading, complete_page, hash_content, merged_text, read_page
from misir.capture.pending import put_aside
from misir.capture.schemas import Captured, CaptureRequest
from misir.capture.tell import tell
from misir.capture.write import SQL, TextChanged, require_open, take_in
from misir.embed.text import Embedding
from misir.errors import MisirError, invalid, unavailable
from misir.orient.reading import ContentSource
from misir.orient.simhash import bands
from misir.orient.vectors import Vector, to_half, unit
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture, counted_refusals
from misir.receipt import NO_RECEIPT, Receipt
from misir.resources import Resources

MAX_RACES: Final = 5
"""How often a capture starts again because somebody else changed the page's text meanwhile."""


NO_MODEL: Final = "model-unavailable"


async def capture(
    res: Resources,
    user_id: uuid.UUID,
    request: CaptureRequest,
    now: datetime,
    receipt: Receipt = NO_RECEIPT,
) -> Captured:
    """Take one page in.

        read_page                                   pure
        find what is known of it                    one read, no lock
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
    page = read_page(request, now, res.config)
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
        async with res.database.as_user(user_id) as tx:
            known = await find_known(tx, res, page)
        visit = complete_page(page, known, res.config)
        reading = await read_text(res, visit, known)
        try:
            async with res.turns.of(page.request.space_id), res.database.as_user(user_id) as tx:
                await receipt.open(tx)
                taken = await take_in(tx, res, visit, known, reading)
                await tell(tx, [(visit, taken)])
                await receipt.close(tx, 201 if taken.captured.is_new else 200, taken.captured)
        except TextChanged:
            continue
        count_capture(taken.result, taken.captured.fit)
        res.wake_worker()
        return taken.captured
    raise unavailable(
        "This page is being changed by others at this moment: send the capture again.", retry_after_s=1
    )


async def find_known(tx: Tx, res: Resources, page: Page) -> Known:
    """What the library holds of the page, without a lock. 404 unknown space, 409 archived space."""
    rows = await tx.ask(
        SQL.find_known,
        space_id=page.request.space_id,
        url_hash=page.url_hash,
        model=res.embedder.fingerprint,
        needs_content=page.request.content is None,
    )
    row = require_open(await rows.fetchone())
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


async def read_text(res: Resources, page: Page, known: Known) -> Reading:
    """The vector of the text this capture leaves behind: known already, the client's, or made now."""
    reading = read_without_model(res, page, known)
    if reading is not None:
        return reading
    text = merged_text(page, known)
    return embedded(text, await res.embedder.embed_text(text, "document"))


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

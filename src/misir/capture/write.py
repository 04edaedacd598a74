"""What captures do inside their transaction: lock and load, decide in memory, write everything at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pgvector import HalfVector

from misir.capture.chunk import After, Chunk, Outcome, Taken
from misir.capture.ground import SQL, load_ground
from misir.capture.page import Ready
from misir.capture.schemas import Captured
from misir.capture.values import as_json, centroids
from misir.jobs.queue import enqueue
from misir.library.correct import revive_artifact
from misir.plumbing.db import Tx
from misir.plumbing.turns import breathing
from misir.resources import Resources
from misir.spaces.birth import give_birth
from misir.spaces.rebuild import rebuild_topics


async def take_in(tx: Tx, res: Resources, items: Sequence[Ready]) -> list[Outcome]:
    """Take pages of one space in, in their order: the outcomes of all, or of the first few.

        load_ground     lock the space, and read what decides: one round trip
        Chunk           pure: each page decided as if the one before had been written
        _write          all rows of all pages, sent together: one round trip
        _follow         what may follow from the last page: a topic learns again, or is born

    A page from which more follows than rows is the last of those taken in; so is one that must be read again
    because its text changed (Unsettled.TEXT_CHANGED), and a page in the trash is taken in alone. A refused
    page is a MisirError among the outcomes, and writes nothing. Takes lock_space_for_update.
    Raises MisirError 404 unknown space, 409 archived space.
    """
    chunk = await _begin(tx, res, items)
    now = items[0].page.now
    if chunk.must_revive(items[0]):
        items = items[:1]
        artifact_id = chunk.ground.rows[items[0].page.url_hash]["id"]
        await revive_artifact(tx, res, artifact_id, now)
        chunk = await _begin(tx, res, items)
        chunk.ground.same_events = [None]  # a visit after the deletion is a new one
    await _decide(chunk, items)
    if chunk.signals:
        await _write(tx, res, chunk, now)
    if chunk.after is not None:
        await _follow(tx, res, chunk, chunk.after, now)
    return chunk.outcomes


async def _begin(tx: Tx, res: Resources, items: Sequence[Ready]) -> Chunk:
    return Chunk(await load_ground(tx, res, items), res.embedder.calibration, res.config)


async def _decide(chunk: Chunk, items: Sequence[Ready]) -> None:
    """The pages, or those before one that has to wait. Half a millisecond a page: others get their turn."""
    async for item in breathing(items):
        if not chunk.take_next(item):
            return


async def _write(tx: Tx, res: Resources, chunk: Chunk, now: datetime) -> None:
    """Send every statement at once; no answer is waited for."""
    space_id = chunk.ground.space_id
    common = {
        "space_id": space_id,
        "model": res.embedder.fingerprint,
        "config_version": res.config.version,
        "now": now,
    }
    if chunk.new:
        await tx.ask(SQL.insert_artifacts, common, artifacts=as_json([*chunk.new.values()]))
    if chunk.changed:
        await tx.ask(SQL.update_artifacts, common, artifacts=as_json([*chunk.changed.values()]))
    if chunk.embeddings:
        vectors = [HalfVector(vector) for vector in chunk.vectors]
        await tx.ask(SQL.insert_embeddings, common, embeddings=as_json(chunk.embeddings), vectors=vectors)
    await tx.ask(SQL.insert_signals, common, signals=as_json(chunk.signals))
    n_new = len(chunk.embeddings)
    await tx.ask(SQL.take_places, common, next_seq=chunk.ground.next_seq, n_embeddings=n_new)
    await _write_topics(tx, chunk, common)
    await enqueue(tx, space_id, now)


async def _write_topics(tx: Tx, chunk: Chunk, common: dict[str, object]) -> None:
    if chunk.topics:
        topics = as_json([*chunk.topics.values()])
        await tx.ask(SQL.update_topics, common, topics=topics, centroids=centroids(chunk.centroids))
    if chunk.snapshots:
        rows, pictures = zip(*chunk.snapshots.values(), strict=True)
        await tx.ask(SQL.insert_snapshots, common, snapshots=as_json(rows), centroids=centroids(pictures))
    if chunk.returns:
        await tx.ask(SQL.insert_returns, common, returns=as_json(chunk.returns))
    if chunk.touched_markers:
        marker_ids, occurred_ats = [*chunk.touched_markers], [*chunk.touched_markers.values()]
        await tx.ask(SQL.touch_markers, common, marker_ids=marker_ids, occurred_ats=occurred_ats)


async def _follow(tx: Tx, res: Resources, chunk: Chunk, after: After, now: datetime) -> None:
    """What the last page causes beyond its own rows."""
    decision = after.decision
    if decision.left_topic_id is not None:
        prior = res.config.confidence_prior_count
        await tx.ask(SQL.leave_topic, topic_id=decision.left_topic_id, prior_count=prior)
    if after.was_known and decision.is_arrival:
        await _learn_again(tx, res, after, now)
    if after.is_pooled:
        born = await give_birth(tx, res, chunk.ground.space_id, after.artifact_id, after.vector, now)
        last = chunk.outcomes[-1]
        if born is not None and isinstance(last, Taken):
            captured = Captured(**(last.captured.model_dump() | born))
            chunk.outcomes[-1] = Taken(captured, last.result)


async def _learn_again(tx: Tx, res: Resources, after: After, now: datetime) -> None:
    """A page whose text brought it back into a topic it was in before: what it taught there counts."""
    topic_id = after.decision.subspace_id
    asked = {"artifact_id": after.artifact_id, "topic_id": topic_id, "seq": after.seq}
    if await (await tx.ask(SQL.has_older_lessons, asked)).fetchone() is not None:
        await rebuild_topics(tx, res, [topic_id], now)

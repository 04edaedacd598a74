"""The path of a page, told in one function: `capture`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from pgvector import HalfVector

from misir.capture.decide import Artifact, Decision, Situation, TopicMarker, decide
from misir.capture.page import Known, Page, Reading, complete_page, hash_content, merged_text, read_page
from misir.capture.schemas import Captured, CaptureRequest
from misir.capture.values import page_values, placement_values, reading_values, topic_values
from misir.errors import conflict, invalid, not_found, unavailable
from misir.library.correct import revive_artifact
from misir.orient.assign import AssignedBy
from misir.orient.reading import ContentSource, EngagementLevel
from misir.orient.vectors import Vector, to_half, unit
from misir.plumbing.db import Tx
from misir.plumbing.metrics import count_capture, counted_refusals
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.topic import read_topic

SQL = load_statements("misir.capture", "capture.sql")
TOPICS = load_statements("misir.spaces", "topics.sql")

MAX_RACES: Final = 5
"""How often a capture starts again because somebody else changed the page's text meanwhile."""


class _TextChanged(Exception):  # noqa: N818 - a signal to start again, never an error anybody sees
    """The page's text is no longer what was embedded."""


async def capture(res: Resources, user_id: uuid.UUID, request: CaptureRequest, now: datetime) -> Captured:
    """Take one page in.

        read_page                                   pure
        find what is known of it                    one read, no lock
        embed the text, where it is new             no connection held
        ONE transaction
          lock the space, load what decides         lock_space_for_update
          decide                                    pure
          write what the decision says
        commit, then answer

    Safe to repeat (the same event answers with its first signal and teaches nothing) and to run at once with
    others: the space's lock puts decisions in one order. Raises MisirError: 404 unknown space, topic,
    session or marker; 409 archived space; 422 unusable vector; 503 no model or no database.
    """
    with counted_refusals():
        return await _capture(res, user_id, read_page(request, now, res.config))


async def _capture(res: Resources, user_id: uuid.UUID, page: Page) -> Captured:
    """Again from the start whenever the page's text changed under us."""
    for _ in range(MAX_RACES):
        known = await _find_known(res, user_id, page)
        visit = complete_page(page, known, res.config)
        reading = await _read_text(res, visit, known)
        try:
            return await _write_capture(res, user_id, visit, known, reading)
        except _TextChanged:
            continue
    raise unavailable(
        "This page is being changed by others at this moment: send the capture again.", retry_after_s=1
    )


async def _find_known(res: Resources, user_id: uuid.UUID, page: Page) -> Known:
    async with res.database.as_user(user_id) as tx:
        rows = await tx.ask(
            SQL.find_known,
            space_id=page.request.space_id,
            url_hash=page.url_hash,
            model=res.embedder.fingerprint,
            needs_content=page.request.content is None,
        )
        row = _require_open(await rows.fetchone())
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


def _require_open(space: dict[str, Any] | None) -> dict[str, Any]:
    if space is None:
        raise not_found("The space")
    if space["is_archived"]:
        raise conflict("The space is archived and takes no captures: unarchive it, or capture into another.")
    return space


async def _read_text(res: Resources, page: Page, known: Known) -> Reading:
    """The vector of the text this capture leaves behind: known already, the client's, or made now."""
    text = merged_text(page, known)
    sent = _usable_vector(res, page, has_text=bool(text))
    content_hash = hash_content(text, sent)
    if known.vector is not None and known.content_hash == content_hash:
        return Reading(text, content_hash, known.vector, known.fraction, is_clients=False)
    if sent is not None:
        return Reading(text, content_hash, to_half(unit(sent)), 1.0, is_clients=True)
    made = await res.embedder.embed_text(text, "document")
    return Reading(text, content_hash, made.vector, made.fraction, is_clients=False)


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


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the transaction read under its lock. `row` is the known artifact's, None for a new page."""

    artifact_id: int
    row: dict[str, Any] | None
    situation: Situation
    duplicate_of: int | None


async def _write_capture(
    res: Resources, user_id: uuid.UUID, page: Page, known: Known, reading: Reading
) -> Captured:
    """One transaction: lock the space, load, decide, write. Takes lock_space_for_update."""
    async with res.database.as_user(user_id) as tx:
        row, repeated_signal_id = await _lock(tx, page)
        if row is not None and repeated_signal_id is not None:
            count_capture("repeated")
            return _already_captured(page, row, repeated_signal_id)
        _check_text(page, known, reading, row)
        if row is not None and row["deleted_at"] is not None:
            await revive_artifact(tx, res, row["id"], page.now)
            row = await (await tx.ask(SQL.load_artifact, _address(page))).fetchone()
        loaded = await _load(tx, res, page, reading, row)
        decision = decide(page, reading, loaded.situation, res.embedder.calibration, res.config)
        signal_id = await _write(tx, res, page, reading, loaded, decision)
    count_capture("new" if loaded.row is None else "known", decision.assignment.fit)
    return _captured(page, reading, loaded, decision, signal_id)


async def _lock(tx: Tx, page: Page) -> tuple[dict[str, Any] | None, int | None]:
    """The space's lock; then the page as it is now, and the signal this very event made before, if it did."""
    wanted = _address(page)
    space = await tx.ask(SQL.lock_space_for_update, wanted)
    artifact = await tx.ask(SQL.load_artifact, wanted)
    event = {"event_hash": page.event_hash, "has_own_time": page.has_own_time, "now": page.now}
    same = await tx.ask(SQL.find_same_event, wanted, **event)
    _require_open(await space.fetchone())
    row, signal = await artifact.fetchone(), await same.fetchone()
    return row, None if signal is None or _is_new_visit(page, row) else int(signal["id"])


def _address(page: Page) -> dict[str, Any]:
    """What a page is found by."""
    return {"space_id": page.request.space_id, "url_hash": page.url_hash}


def _is_new_visit(page: Page, row: dict[str, Any] | None) -> bool:
    """What happened before a deletion does not undo it when it is sent again; a visit after it does."""
    return row is not None and row["deleted_at"] is not None and page.occurred_at > row["deleted_at"]


def _check_text(page: Page, known: Known, reading: Reading, row: dict[str, Any] | None) -> None:
    """Is what we embedded really the text that will be there? Another capture may have come between."""
    brings_all = page.request.title is not None and page.request.content is not None
    if row is None or brings_all or row["content_hash"] in {reading.content_hash, known.content_hash}:
        return
    raise _TextChanged


async def _load(tx: Tx, res: Resources, page: Page, reading: Reading, row: dict[str, Any] | None) -> _Loaded:
    """Everything else the decision needs, asked for in one go. `row` is the known artifact's."""
    wanted = _address(page) | {
        "session_id": page.request.session_id,
        "vector": HalfVector(reading.vector),
        "model": res.embedder.fingerprint,
        "max_distance": 1 - res.config.duplicate_similarity,
    }
    reserved = await tx.ask(SQL.reserve_artifact_id) if row is None else None
    topics = await tx.ask(TOPICS.load_topics, wanted)
    markers = await tx.ask(SQL.load_markers, wanted)
    near = await tx.ask(SQL.find_near_duplicate, wanted)
    session = await tx.ask(SQL.session_exists, wanted)
    new = await reserved.fetchone() if reserved is not None else row
    duplicate = await near.fetchone()
    situation = Situation(
        artifact=None if row is None else _artifact(row),
        topics=[read_topic(topic, res.embedder.dimension) for topic in await topics.fetchall()],
        markers=[TopicMarker(**marker) for marker in await markers.fetchall()],
    )
    _require_named(page, situation, has_session=await session.fetchone() is not None)
    return _Loaded(
        artifact_id=(new or {})["id"],
        row=row,
        situation=situation,
        duplicate_of=None if duplicate is None else duplicate["id"],
    )


def _require_named(page: Page, situation: Situation, *, has_session: bool) -> None:
    """What the client names must be the user's and in this space; absent and foreign look the same."""
    request = page.request
    if request.subspace_id is not None and request.subspace_id not in {
        topic.id for topic in situation.topics
    }:
        raise not_found("The subspace")
    if request.session_id is not None and not has_session:
        raise not_found("The session")
    if set(request.matched_marker_ids) - {marker.id for marker in situation.markers}:
        raise not_found("A marker")


def _artifact(row: dict[str, Any]) -> Artifact:
    return Artifact(
        id=row["id"],
        subspace_id=row["subspace_id"],
        assigned_by=None if row["assigned_by"] is None else AssignedBy(row["assigned_by"]),
        level=EngagementLevel(row["engagement_level"]),
        content_hash=row["content_hash"],
        taught=row["taught_weight"],
    )


async def _write(
    tx: Tx, res: Resources, page: Page, reading: Reading, loaded: _Loaded, decision: Decision
) -> int:
    """Send every statement of the decision at once; the signal's id is the only answer waited for."""
    placed = placement_values(decision) | {
        "artifact_id": loaded.artifact_id,
        "model": res.embedder.fingerprint,
        "config_version": res.config.version,
        "duplicate_of": loaded.duplicate_of,
    }
    read = page_values(page) | reading_values(reading)
    is_new = loaded.row is None
    await tx.ask(SQL.insert_artifact if is_new else SQL.update_artifact, read, **placed)
    await tx.ask(SQL.insert_embedding, read, **placed)
    signal = await tx.ask(SQL.insert_signal, read, **placed)
    if decision.change is not None:
        await tx.ask(SQL.update_topic, read | placed, **topic_values(decision.change))
    if decision.left_topic_id is not None:
        prior = res.config.confidence_prior_count
        await tx.ask(SQL.leave_topic, topic_id=decision.left_topic_id, prior_count=prior)
    if decision.matched_marker_ids:
        await tx.ask(SQL.touch_markers, read, marker_ids=list(decision.matched_marker_ids))
    return int((await signal.fetchone() or {})["id"])


def _already_captured(page: Page, row: dict[str, Any], signal_id: int) -> Captured:
    return Captured(
        artifact_id=row["id"],
        signal_id=signal_id,
        is_new=False,
        message="Already captured: this very visit is known, nothing was added.",
        subspace_id=row["subspace_id"],
        assigned_by=row["assigned_by"],
        raw_margin=row["raw_margin"],
        fit=row["fit"] or 0.0,
        probability=row["probability"] or 0.0,
        engagement_level=row["engagement_level"],
        reading_depth=row["reading_depth"],
        embedding_used=False,
        embedded_fraction=row["embedded_fraction"],
        duplicate_of=row["duplicate_of"],
        adjusted=page.request.adjusted,
    )


def _captured(page: Page, reading: Reading, loaded: _Loaded, decision: Decision, signal_id: int) -> Captured:
    assignment, is_new = decision.assignment, loaded.row is None
    return Captured(
        artifact_id=loaded.artifact_id,
        signal_id=signal_id,
        is_new=is_new,
        message="Captured." if is_new else "Known page: this visit was added to it.",
        subspace_id=decision.subspace_id,
        assigned_by=assignment.assigned_by,
        raw_margin=assignment.margin,
        fit=assignment.fit,
        probability=assignment.probability,
        engagement_level=decision.level,
        reading_depth=page.depth,
        embedding_used=reading.is_clients,
        embedded_fraction=reading.fraction,
        duplicate_of=loaded.duplicate_of,
        adjusted=page.request.adjusted,
    )

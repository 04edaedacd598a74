"""The path of a page, told in one function: `capture`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg.types.json import Jsonb

from misir.capture.decide import Artifact, Decision, Situation, TopicMarker, decide
from misir.capture.page import Known, Page, Reading, hash_content, merged_text, read_page
from misir.capture.schemas import CaptureRequest, Captured
from misir.errors import conflict, invalid, not_found, unavailable
from misir.orient.assign import AssignedBy
from misir.orient.reading import EngagementLevel, decay_rate
from misir.orient.vectors import Vector, to_half, unit
from misir.plumbing.db import Connection
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.topic import read_topic

SQL = load_statements("misir.capture", "capture.sql")
TOPICS = load_statements("misir.spaces", "topics.sql")

DUPLICATE_COSINE: Final = 0.98
"""Cosine from which two texts of a space are the same text under two addresses."""

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
    page = read_page(request, now, res.config)
    for _ in range(MAX_RACES):
        known = await _find_known(res, user_id, page)
        reading = await _read_text(res, page, known)
        try:
            return await _write_capture(res, user_id, page, known, reading)
        except _TextChanged:
            continue
    raise unavailable(
        "This page is being changed by others at this moment: send the capture again.", retry_after_s=1
    )


async def _find_known(res: Resources, user_id: uuid.UUID, page: Page) -> Known:
    wanted = {
        "user_id": user_id,
        "space_id": page.request.space_id,
        "url_hash": page.url_hash,
        "model": res.embedder.fingerprint,
        "needs_content": page.request.content is None,
    }
    async with res.database.as_user(user_id) as conn:
        rows = await conn.execute(SQL.find_known, wanted)
        row = await rows.fetchone()
    _require_open(row)
    assert row is not None  # noqa: S101 - _require_open raised otherwise
    if row["artifact_id"] is None:
        return Known()
    vector = None if row["vector"] is None else row["vector"].to_numpy().astype(np.float32)
    fraction = 1.0 if row["fraction"] is None else row["fraction"]
    return Known(row["title"], row["content"], row["content_hash"], vector, fraction)


def _require_open(space: dict[str, Any] | None) -> None:
    if space is None:
        raise not_found("The space")
    if space["is_archived"]:
        raise conflict(
            "The space is archived and takes no captures: unarchive it first, or capture into another."
        )


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
    """The client's vector where it is of our model; ignored beside a text, refused where there is nothing else."""
    sent, model = page.request.vector, page.request.embedding_model
    if sent is None:
        return None
    if sent.size != res.embedder.dimension:
        raise invalid(
            f"embedding: has {sent.size} numbers, this deployment's model has {res.embedder.dimension}"
        )
    if model == res.embedder.fingerprint:
        return sent
    if has_text:
        return None
    raise invalid(
        f"embedding_model: must be {res.embedder.fingerprint} for the vector to be comparable; send title or content instead"
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the transaction read under its lock."""

    artifact_id: int
    situation: Situation
    repeated_signal_id: int | None
    duplicate_of: int | None
    row: dict[str, Any] | None


async def _write_capture(
    res: Resources, user_id: uuid.UUID, page: Page, known: Known, reading: Reading
) -> Captured:
    """One transaction: lock the space, load, decide, write. Takes lock_space_for_update."""
    async with res.database.as_user(user_id) as conn:
        loaded = await _load(conn, res, user_id, page, known, reading)
        if loaded.repeated_signal_id is not None and loaded.row is not None:
            return _already_captured(page, loaded.row, loaded.repeated_signal_id)
        decision = decide(page, reading, loaded.situation, res.embedder.calibration, res.config)
        signal_id = await _write(conn, res, user_id, page, reading, loaded, decision)
    return _captured(page, reading, loaded, decision, signal_id)


async def _load(
    conn: Connection, res: Resources, user_id: uuid.UUID, page: Page, known: Known, reading: Reading
) -> _Loaded:
    """Everything the decision needs, asked for in one go."""
    wanted = {
        "user_id": user_id,
        "space_id": page.request.space_id,
        "url_hash": page.url_hash,
        "event_hash": page.event_hash,
        "has_own_time": page.has_own_time,
        "now": page.now,
        "vector": HalfVector(reading.vector),
        "model": res.embedder.fingerprint,
        "max_distance": 1 - DUPLICATE_COSINE,
        "session_id": page.request.session_id,
    }
    space = await conn.execute(SQL.lock_space_for_update, wanted)
    artifact = await conn.execute(SQL.load_artifact, wanted)
    reserved = await conn.execute(SQL.reserve_artifact_id)
    same = await conn.execute(SQL.find_same_event, wanted)
    topics = await conn.execute(TOPICS.load_topics, wanted)
    markers = await conn.execute(SQL.load_markers, wanted)
    near = await conn.execute(SQL.find_near_duplicate, wanted)
    session = await conn.execute(SQL.session_exists, wanted)

    space_row = await space.fetchone()
    _require_open(space_row)
    assert space_row is not None  # noqa: S101 - _require_open raised otherwise
    row = await artifact.fetchone()
    _check_text(page, known, reading, row)
    situation = Situation(
        artifact=None if row is None else _artifact(row),
        topics=[read_topic(t, res.embedder.dimension) for t in await topics.fetchall()],
        markers=[
            TopicMarker(m["id"], m["subspace_id"], m["label"], m["similarity"])
            for m in await markers.fetchall()
        ],
    )
    _require_named(page, situation, has_session=await session.fetchone() is not None)
    near_row, new_id = await near.fetchone(), await reserved.fetchone()
    return _Loaded(
        artifact_id=row["id"] if row is not None else (new_id or {})["id"],
        situation=situation,
        repeated_signal_id=_repeated(page, await same.fetchone(), row),
        duplicate_of=None if near_row is None else near_row["id"],
        row=row,
    )


def _check_text(page: Page, known: Known, reading: Reading, row: dict[str, Any] | None) -> None:
    """Is what we embedded really the text that will be there? Another capture may have come between."""
    brings_all = page.request.title is not None and page.request.content is not None
    if row is None or brings_all or row["content_hash"] in (reading.content_hash, known.content_hash):
        return
    raise _TextChanged


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


def _repeated(page: Page, same: dict[str, Any] | None, row: dict[str, Any] | None) -> int | None:
    """The first signal of an event sent again. One from before a deletion does not undo it; a new visit does."""
    if same is None or row is None:
        return None
    if row["deleted_at"] is not None and page.occurred_at > row["deleted_at"]:
        return None
    return int(same["id"])


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
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    page: Page,
    reading: Reading,
    loaded: _Loaded,
    decision: Decision,
) -> int:
    """Send every statement of the decision at once; the signal's id is the only answer waited for."""
    values = _values(res, user_id, page, reading, loaded, decision)
    is_new = loaded.situation.artifact is None
    await conn.execute(SQL.insert_artifact if is_new else SQL.update_artifact, values)
    await conn.execute(SQL.insert_embedding, values)
    signal = await conn.execute(SQL.insert_signal, values)
    if decision.change is not None:
        await conn.execute(SQL.update_topic, {**values, **_topic_values(decision)})
    if decision.left_topic_id is not None:
        left = {
            **values,
            "topic_id": decision.left_topic_id,
            "prior_count": res.config.confidence_prior_count,
        }
        await conn.execute(SQL.leave_topic, left)
    if decision.matched_marker_ids:
        await conn.execute(SQL.touch_markers, {**values, "marker_ids": list(decision.matched_marker_ids)})
    row = await signal.fetchone()
    return int((row or {})["id"])


def _values(
    res: Resources, user_id: uuid.UUID, page: Page, reading: Reading, loaded: _Loaded, decision: Decision
) -> dict[str, Any]:
    request, assignment = page.request, decision.assignment
    return {
        "user_id": user_id,
        "space_id": request.space_id,
        "artifact_id": loaded.artifact_id,
        "subspace_id": decision.subspace_id,
        "session_id": request.session_id,
        "url": request.url,
        "normalized_url": page.normalized_url,
        "url_hash": page.url_hash,
        "domain": page.domain,
        "title": request.title,
        "content": request.content,
        "content_hash": reading.content_hash,
        "word_count": page.word_count
        if request.content or request.word_count
        else (loaded.row or {}).get("word_count", 0),
        "content_source": page.source,
        "engagement_level": decision.level,
        "dwell_time_ms": round(request.dwell_time_ms),
        "active_time_ms": None if request.active_time_ms is None else round(request.active_time_ms),
        "scroll_depth": request.scroll_depth,
        "reading_depth": page.depth,
        "reading_depth_client": page.depth_client,
        "decay_rate": decay_rate(page.source),
        "assigned_by": assignment.assigned_by,
        "similarity": assignment.similarity,
        "raw_margin": assignment.margin,
        "probability": assignment.probability,
        "fit": assignment.fit,
        "embedded_fraction": reading.fraction,
        "duplicate_of": loaded.duplicate_of,
        "metadata": _metadata(page),
        "model": res.embedder.fingerprint,
        "vector": HalfVector(reading.vector),
        "event_hash": page.event_hash,
        "payload_hash": page.payload_hash,
        "signal_type": request.signal_type,
        "signal_magnitude": request.signal_magnitude,
        "base_weight": decision.base_weight,
        "taught_weight": decision.taught_weight,
        "taught_so_far": decision.taught_so_far,
        "updates_centroid": assignment.updates_centroid,
        "matched_marker_ids": list(decision.matched_marker_ids),
        "config_version": res.config.version,
        "occurred_at": page.occurred_at,
        "now": page.now,
    }


def _metadata(page: Page) -> Any:
    return Jsonb({"reading_depth_differs": True} if page.is_depth_different else {})


def _topic_values(decision: Decision) -> dict[str, Any]:
    change = decision.change
    assert change is not None  # noqa: S101 - the caller asked
    return {
        "topic_id": change.topic_id,
        "centroid": PgVector(change.state.m) if change.state.has_centroid else None,
        "weight_sum": change.state.weight_sum,
        "signal_count": change.state.signal_count,
        "artifact_count": change.n_artifacts,
        "coherence": change.state.coherence,
        "confidence": change.confidence,
        "is_taught": change.is_taught,
    }


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
    is_new = loaded.situation.artifact is None
    return Captured(
        artifact_id=loaded.artifact_id,
        signal_id=signal_id,
        is_new=is_new,
        message="Captured." if is_new else "Known page: this visit was added to it.",
        subspace_id=decision.subspace_id,
        assigned_by=decision.assignment.assigned_by,
        raw_margin=decision.assignment.margin,
        fit=decision.assignment.fit,
        probability=decision.assignment.probability,
        engagement_level=decision.level,
        reading_depth=page.depth,
        embedding_used=reading.is_clients,
        embedded_fraction=reading.fraction,
        duplicate_of=loaded.duplicate_of,
        adjusted=page.request.adjusted,
    )

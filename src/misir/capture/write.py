"""What a capture does inside its transaction: lock, load, decide, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pgvector import HalfVector

from misir.capture.decide import Artifact, Decision, Situation, TopicMarker, decide
from misir.capture.page import Known, Page, Reading
from misir.capture.schemas import Captured
from misir.capture.values import band_values, page_values, placement_values, reading_values, topic_values
from misir.errors import conflict, not_found
from misir.jobs.queue import enqueue
from misir.library.correct import revive_artifact
from misir.orient.assign import AssignedBy
from misir.orient.reading import EngagementLevel
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.birth import give_birth
from misir.spaces.corrections import require_open_topic
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import rebuild_topics
from misir.spaces.reshape import note
from misir.spaces.topic import read_topic

SQL = load_statements("misir.capture", "capture.sql")


class TextChanged(Exception):  # noqa: N818 - a signal to start again, never an error anybody sees
    """The page's text is no longer what was embedded."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a page, and what the metrics call it."""

    captured: Captured
    result: Literal["new", "known", "repeated"]


@dataclass(frozen=True, slots=True)
class _Space:
    """The space under its lock: the place in the log that is next, and whether topics are born in it."""

    next_seq: int
    auto_subspaces: bool


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What was read under the lock. `row` is the known artifact's, None for a new page."""

    artifact_id: int
    row: dict[str, Any] | None
    situation: Situation
    duplicate_of: int | None


def require_open(space: dict[str, Any] | None) -> dict[str, Any]:
    """404 and 409, for a capture and for everything else that writes into a space."""
    if space is None:
        raise not_found("The space")
    if space["is_archived"]:
        raise conflict("The space is archived and takes no captures: unarchive it, or capture into another.")
    return space


async def take_in(tx: Tx, res: Resources, page: Page, known: Known, reading: Reading) -> Taken:
    """Lock the space, load, decide, write; then what follows from it. Takes lock_space_for_update.

    Raises TextChanged when `reading` is not of the text that is there now; MisirError as `capture` says.
    """
    space, row, repeated_signal_id = await _lock(tx, page)
    if row is not None and repeated_signal_id is not None:
        return Taken(_already_captured(page, row, repeated_signal_id), "repeated")
    _check_text(page, known, reading, row)
    if row is not None and row["deleted_at"] is not None:
        await revive_artifact(tx, res, row["id"], page.now)
        space, row, _ = await _lock(tx, page)
    loaded = await _load(tx, res, page, reading, row)
    decision = decide(page, reading, loaded.situation, res.embedder.calibration, res.config)
    signal_id = await _write(tx, res, (page, reading), loaded, decision, space.next_seq)
    if loaded.row is not None and decision.is_arrival:
        await _learn_again(tx, res, page, loaded.artifact_id, decision, space.next_seq)
    is_pooled = decision.subspace_id is None and decision.assignment.assigned_by is None
    born = None
    if is_pooled and space.auto_subspaces:
        born = await give_birth(tx, res, page.request.space_id, loaded.artifact_id, reading.vector, page.now)
    await enqueue(tx, page.request.space_id, page.now)
    captured = _captured(page, reading, loaded, decision, signal_id) | (born or {})
    return Taken(Captured(**captured), "new" if loaded.row is None else "known")


async def _lock(tx: Tx, page: Page) -> tuple[_Space, dict[str, Any] | None, int | None]:
    """The space's lock; then the page as it is now, and the signal this very event made before, if it did."""
    wanted = _address(page)
    locked = await tx.ask(SQL.lock_space_for_update, wanted)
    artifact = await tx.ask(SQL.load_artifact, wanted)
    event = {"event_hash": page.event_hash, "has_own_time": page.has_own_time, "now": page.now}
    same = await tx.ask(SQL.find_same_event, wanted, **event)
    space = require_open(await locked.fetchone())
    row, signal = await artifact.fetchone(), await same.fetchone()
    is_repeat = signal is not None and not _is_new_visit(page, row)
    repeated = int(signal["id"]) if signal is not None and is_repeat else None
    return _Space(space["next_seq"], space["auto_subspaces"]), row, repeated


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
    raise TextChanged


async def _load(tx: Tx, res: Resources, page: Page, reading: Reading, row: dict[str, Any] | None) -> _Loaded:
    """Everything else the decision needs, asked for in one go. `row` is the known artifact's."""
    wanted = _address(page) | {
        "session_id": page.request.session_id,
        "vector": HalfVector(reading.vector),
        "model": res.embedder.fingerprint,
        "max_distance": 1 - res.config.duplicate_similarity,
    }
    is_text_new = row is None or row["content_hash"] != reading.content_hash
    reserved = await tx.ask(SQL.reserve_artifact_id) if row is None else None
    topics = await tx.ask(TOPICS.load_topics, wanted)
    markers = await tx.ask(SQL.load_markers, wanted)
    near = await tx.ask(SQL.find_near_duplicate, wanted | band_values(reading)) if is_text_new else None
    session = await tx.ask(SQL.session_exists, wanted) if page.request.session_id is not None else None
    new = await reserved.fetchone() if reserved is not None else row
    situation = Situation(
        artifact=None if row is None else _artifact(row),
        topics=[read_topic(topic, res.embedder.dimension) for topic in await topics.fetchall()],
        markers=[TopicMarker(**marker) for marker in await markers.fetchall()],
    )
    duplicate = (await near.fetchone() or {}).get("id") if near is not None else (row or {})["duplicate_of"]
    has_session = session is None or await session.fetchone() is not None
    await _require_named(tx, page, situation, has_session=has_session)
    return _Loaded((new or {})["id"], row, situation, duplicate)


async def _require_named(tx: Tx, page: Page, situation: Situation, *, has_session: bool) -> None:
    """What the client names must be the user's and in this space; absent and foreign look the same."""
    request, candidates = page.request, {topic.id for topic in situation.topics}
    if request.subspace_id is not None and request.subspace_id not in candidates:
        await require_open_topic(tx, request.space_id, request.subspace_id)
    if not has_session:
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
    tx: Tx, res: Resources, sent: tuple[Page, Reading], loaded: _Loaded, decision: Decision, seq: int
) -> int:
    """Send every statement of the decision at once; the signal's id is the only answer waited for."""
    page, reading = sent
    placed = placement_values(decision) | {
        "artifact_id": loaded.artifact_id,
        "model": res.embedder.fingerprint,
        "config_version": res.config.version,
        "duplicate_of": loaded.duplicate_of,
        "seq": seq,
    }
    read = page_values(page) | reading_values(reading)
    is_new = loaded.row is None
    await tx.ask(SQL.insert_artifact if is_new else SQL.update_artifact, read, **placed)
    await tx.ask(SQL.insert_embedding, read, **placed)
    signal = await tx.ask(SQL.insert_signal, read, **placed)
    if decision.change is not None:
        await tx.ask(SQL.update_topic, read | placed, **topic_values(decision.change))
        await tx.ask(TOPICS.upsert_snapshots, read, topic_ids=[decision.change.topic_id])
    if decision.left_topic_id is not None:
        prior = res.config.confidence_prior_count
        await tx.ask(SQL.leave_topic, topic_id=decision.left_topic_id, prior_count=prior)
    if decision.matched_marker_ids:
        await tx.ask(SQL.touch_markers, read, marker_ids=list(decision.matched_marker_ids))
    signal_id = int((await signal.fetchone() or {})["id"])
    if decision.is_return:
        await _note_return(tx, page, decision, loaded.artifact_id, signal_id)
    return signal_id


async def _note_return(tx: Tx, page: Page, decision: Decision, artifact_id: int, signal_id: int) -> None:
    """A topic that slept is read again: an event of its life."""
    cause = {"signal_id": signal_id, "artifact_ids": [artifact_id]}
    numbers = {"similarity": decision.assignment.similarity, "fit": decision.assignment.fit}
    space_id, at = page.request.space_id, page.occurred_at
    await note(tx, space_id, decision.subspace_id, "returned", cause=cause, numbers=numbers, at=at)


async def _learn_again(
    tx: Tx, res: Resources, page: Page, artifact_id: int, decision: Decision, seq: int
) -> None:
    """A page whose text brought it back into a topic it was in before: what it taught there counts."""
    asked = {"artifact_id": artifact_id, "topic_id": decision.subspace_id, "seq": seq}
    if await (await tx.ask(SQL.has_older_lessons, asked)).fetchone() is not None:
        await rebuild_topics(tx, res, [decision.subspace_id], page.now)


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


def _captured(
    page: Page, reading: Reading, loaded: _Loaded, decision: Decision, signal_id: int
) -> dict[str, Any]:
    assignment, is_new = decision.assignment, loaded.row is None
    return {
        "artifact_id": loaded.artifact_id,
        "signal_id": signal_id,
        "is_new": is_new,
        "message": "Captured." if is_new else "Known page: this visit was added to it.",
        "subspace_id": decision.subspace_id,
        "assigned_by": assignment.assigned_by,
        "raw_margin": assignment.margin,
        "fit": assignment.fit,
        "probability": assignment.probability,
        "engagement_level": decision.level,
        "reading_depth": page.depth,
        "embedding_used": reading.is_clients,
        "embedded_fraction": reading.fraction,
        "duplicate_of": loaded.duplicate_of,
        "adjusted": page.request.adjusted,
    }

"""Corrections: entries of the log that put artifacts elsewhere, and what every one of them then does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from psycopg.types.json import Jsonb

from misir.errors import MisirError, conflict, not_found
from misir.orient.assign import AssignedBy, grade_placements
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import Shift, rebuild_topics

SQL = load_statements("misir.spaces", "log.sql")

Kind = Literal[
    "adopt", "move", "delete", "restore", "merge", "split", "retire", "consolidate", "seed", "marker", "undo"
]
Actor = Literal["engine", "user"]


@dataclass(frozen=True, slots=True)
class Move:
    """An artifact's way from one topic to another, None for no topic.

    assigned_by: who is answerable for the new place. teaches: whether all its signals teach there; None
    leaves that to what was decided for them before.
    """

    artifact_id: int
    from_id: int | None
    to_id: int | None
    assigned_by: AssignedBy | None
    teaches: bool | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A correction as the log has it, and what it changed about the topics it touched."""

    id: int
    seq: int
    shifts: Sequence[Shift] = ()


async def lock_spaces(tx: Tx, space_ids: Iterable[int | None]) -> None:
    """Lock the spaces in id order. Takes lock_spaces_for_update. 404 unknown space, 409 archived space."""
    wanted = sorted({space_id for space_id in space_ids if space_id is not None})
    locked = await (await tx.ask(SQL.lock_spaces_for_update, space_ids=wanted)).fetchall()
    if len(locked) < len(wanted):
        raise not_found("The space")
    if any(space["is_archived"] for space in locked):
        raise conflict("The space is archived: unarchive it before changing what is in it.")


async def require_open_topic(tx: Tx, space_id: int, topic_id: int) -> None:
    """May artifacts be put there? 404 for absent, deleted, foreign and another space's; 409 for retired."""
    refusal = closed_topic(await (await tx.ask(TOPICS.find_topic, topic_id=topic_id)).fetchone(), space_id)
    if refusal is not None:
        raise refusal


def closed_topic(topic: dict[str, Any] | None, space_id: int) -> MisirError | None:
    """Why artifacts may not be put into that topic of the space, if they may not."""
    if topic is None or topic["space_id"] != space_id:
        return not_found("The subspace")
    if topic["state"] == "retired":
        return conflict("The subspace is retired and takes no artifacts: name another, or none.")
    return None


async def log_correction(
    tx: Tx,
    space_id: int,
    kind: Kind,
    *,
    actor: Actor = "user",
    artifact_ids: Sequence[int] = (),
    subspace_ids: Iterable[int | None] = (),
    payload: dict[str, Any] | None = None,
    undoes: int | None = None,
    moves: Sequence[Move] = (),
) -> Logged:
    """Add a correction, and where it puts artifacts, to the space's log. Holds the space's lock."""
    rows = await tx.ask(
        SQL.log_correction,
        space_id=space_id,
        kind=kind,
        actor=actor,
        artifact_ids=list(artifact_ids),
        subspace_ids=[topic_id for topic_id in subspace_ids if topic_id is not None],
        payload=Jsonb(payload or {}),
        undoes=undoes,
    )
    row = await rows.fetchone() or {}
    logged = Logged(row["id"], row["seq"])
    if moves:
        await tx.ask(
            SQL.log_moves, _columns(moves), correction_id=logged.id, seq=logged.seq, space_id=space_id
        )
    return logged


def _columns(moves: Sequence[Move]) -> dict[str, Any]:
    return {
        "artifact_ids": [move.artifact_id for move in moves],
        "from_ids": [move.from_id for move in moves],
        "to_ids": [move.to_id for move in moves],
        "assigned_bys": [move.assigned_by for move in moves],
        "teach": [move.teaches for move in moves],
    }


async def correct(
    tx: Tx,
    res: Resources,
    space_id: int,
    kind: Kind,
    moves: Sequence[Move],
    now: datetime,
    *,
    actor: Actor = "user",
    subspace_ids: Iterable[int] = (),
    payload: dict[str, Any] | None = None,
) -> Logged:
    """Log it, move the artifacts, and let every topic that concerns learn again.

        log_correction → place_artifacts → rebuild_topics → grade

    Holds the space's lock. Exact: what is left is what the log says.
    """
    artifact_ids = [move.artifact_id for move in moves]
    touched = await list_touched(tx, artifact_ids)
    logged = await log_correction(
        tx,
        space_id,
        kind,
        actor=actor,
        artifact_ids=artifact_ids if kind == "move" else (),
        subspace_ids=sorted({*subspace_ids, *_topics_of(moves)}),
        payload=payload,
        moves=moves,
    )
    return replace(logged, shifts=await place(tx, res, space_id, moves, touched, now))


def _topics_of(moves: Sequence[Move]) -> set[int]:
    return {topic_id for move in moves for topic_id in (move.from_id, move.to_id) if topic_id is not None}


async def place(
    tx: Tx, res: Resources, space_id: int, moves: Sequence[Move], touched: set[int], now: datetime
) -> list[Shift]:
    """Put the artifacts where a logged correction says; `touched` are the topics it concerned before."""
    artifact_ids = [move.artifact_id for move in moves]
    await tx.ask(SQL.place_artifacts, _columns(moves))
    touched |= await list_touched(tx, artifact_ids) | _topics_of(moves)
    shifts = await rebuild_topics(tx, res, touched, now)
    await grade(tx, res, space_id, artifact_ids)
    return shifts


async def list_touched(tx: Tx, artifact_ids: Sequence[int]) -> set[int]:
    """The topics in which these artifacts are, or which any of their signals taught."""
    rows = await tx.ask(TOPICS.list_touched, artifact_ids=list(artifact_ids))
    return {row["subspace_id"] for row in await rows.fetchall() if row["subspace_id"] is not None}


async def grade(tx: Tx, res: Resources, space_id: int, artifact_ids: Sequence[int]) -> None:
    """Measure how well artifacts fit the topics they are in, against all topics of the space."""
    topics = await tx.ask(TOPICS.load_topics, space_id=space_id)
    found = await tx.ask(SQL.load_vectors, artifact_ids=list(artifact_ids), model=res.embedder.fingerprint)
    candidates = [row for row in await topics.fetchall() if row["centroid"] is not None]
    rows = await found.fetchall()
    if not rows:
        return
    index = {row["id"]: number for number, row in enumerate(candidates)}
    grades = grade_placements(
        np.stack([row["vector"].to_numpy() for row in rows]),
        np.array([row["centroid"].to_numpy() for row in candidates]).reshape(-1, res.embedder.dimension),
        np.array([index.get(row["subspace_id"], -1) for row in rows]),
        res.embedder.calibration,
    )
    await tx.ask(
        SQL.store_numbers,
        artifact_ids=[row["id"] for row in rows],
        similarities=grades.similarities,
        margins=grades.margins,
        probabilities=grades.probabilities,
        fits=grades.fits,
    )

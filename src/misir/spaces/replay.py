"""Replay: every topic of a space computed again from the log, signals in seq order, in bounded memory.

What is held is a state and a share per artifact of each topic; vectors pass by in batches.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np

from misir.errors import not_found
from misir.orient.confidence import confidence
from misir.orient.fold import Fold
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import lock_spaces
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import read_lesson, starts_of, store_topic

SQL = load_statements("misir.spaces", "replay.sql")

TOLERANCE: Final = 1e-5
"""Largest difference of a number between what is stored and what the log says (engine.md §0)."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A number of a topic or an artifact that is not what the log says."""

    what: str
    id: int
    name: str
    stored: float
    replayed: float


@dataclass(slots=True)
class Replayed:
    """A space folded from its log: topics by id, and where the log says each artifact is."""

    space_id: int
    n_signals: int = 0
    topics: dict[int, Row] = field(default_factory=dict)
    folds: dict[int, Fold] = field(default_factory=dict)
    members: dict[int, set[int]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


async def list_space_ids(res: Resources, user_id: uuid.UUID) -> list[int]:
    """The user's spaces, archived ones too."""
    async with res.database.as_user(user_id) as tx:
        return [row["id"] for row in await (await tx.ask(SQL.list_space_ids)).fetchall()]


async def count_lessons(res: Resources, user_id: uuid.UUID, space_id: int) -> int:
    """How many signals a replay of the space will fold."""
    async with res.database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.count_lessons, space_id=space_id)).fetchone()
    if row is None or row["count"] is None:
        raise not_found("The space")
    return int(row["count"])


async def check_space(
    res: Resources, user_id: uuid.UUID, space_id: int, on_step: Callable[[int], None] = lambda _: None
) -> Replayed:
    """Compare what is stored with what the log says; writes nothing. Takes lock_spaces_for_update, so that
    nobody learns in between. `on_step` hears how many signals have been folded since it last heard.
    """
    async with res.database.as_user(user_id, patience_s=None) as tx:
        await lock_spaces(tx, [space_id])
        return await _replay(tx, res, space_id, on_step)


async def replay_space(
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    now: datetime,
    on_step: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Store every topic as the log says, in one transaction. Takes lock_spaces_for_update."""
    async with res.database.as_user(user_id, patience_s=None) as tx:
        await lock_spaces(tx, [space_id])
        replayed = await _replay(tx, res, space_id, on_step)
        await tx.ask(SQL.restore_places, space_id=space_id)
        for topic_id, fold in replayed.folds.items():
            await store_topic(tx, res, topic_id, fold, replayed.members[topic_id], now)
    return replayed


async def _replay(tx: Tx, res: Resources, space_id: int, on_step: Callable[[int], None]) -> Replayed:
    replayed = await _begin(tx, res, space_id)
    async for rows in tx.stream(SQL.stream_lessons, space_id=space_id):
        for row in rows:
            fold = replayed.folds[row["subspace_id"]]
            fold.learn(read_lesson(row), res.embedder.calibration, res.config)
        replayed.n_signals += len(rows)
        on_step(len(rows))
    async for rows in tx.stream(SQL.stream_places, space_id=space_id):
        for row in rows:
            _compare_place(replayed, row)
    _compare_topics(replayed, res)
    return replayed


async def _begin(tx: Tx, res: Resources, space_id: int) -> Replayed:
    """Every topic, at its seed."""
    rows = await (await tx.ask(SQL.load_all_topics, space_id=space_id)).fetchall()
    seeds = await tx.ask(TOPICS.load_seed_vectors, topic_ids=[row["id"] for row in rows])
    topic_ids = [row["id"] for row in rows]
    starts = starts_of(topic_ids, await seeds.fetchall(), res.config, res.embedder.dimension)
    replayed = Replayed(space_id)
    for row in rows:
        replayed.topics[row["id"]] = row
        replayed.folds[row["id"]] = Fold(starts[row["id"]], row["learning_rate"])
        replayed.members[row["id"]] = set()
    return replayed


def _compare_place(replayed: Replayed, row: Row) -> None:
    """Is the artifact where the log says, and did it teach there what the log says?"""
    at = row["subspace_id"]
    share = None
    if at is not None:
        replayed.members[at].add(row["id"])
        share = replayed.folds[at].shares.get(row["id"])
    if row["stored_id"] != at:
        stored = float(row["stored_id"] or 0)
        replayed.differences.append(Difference("artifact", row["id"], "subspace_id", stored, float(at or 0)))
    taught = 0.0 if share is None else share.taught
    if abs(taught - row["taught_weight"]) > TOLERANCE:
        stored = float(row["taught_weight"])
        replayed.differences.append(Difference("artifact", row["id"], "taught_weight", stored, taught))


def _compare_topics(replayed: Replayed, res: Resources) -> None:
    """Every number of every topic's state; a centroid by its largest component difference."""
    for topic_id, row in replayed.topics.items():
        state, n_members = replayed.folds[topic_id].state, len(replayed.members[topic_id])
        stored_m = np.zeros_like(state.m) if row["centroid"] is None else row["centroid"].to_numpy()
        numbers = {
            "centroid": (0.0, float(np.abs(stored_m - state.m).max(initial=0.0))),
            "weight_sum": (row["weight_sum"], state.weight_sum),
            "signal_count": (row["signal_count"], state.signal_count),
            "coherence": (row["coherence"], state.coherence),
            "placed_count": (row["placed_count"], state.placed_count),
            "artifact_count": (row["artifact_count"], n_members),
            "confidence": (row["confidence"], confidence(state.coherence, n_members, res.config)),
        }
        replayed.differences += [
            Difference("subspace", topic_id, name, float(stored), float(said))
            for name, (stored, said) in numbers.items()
            if abs(stored - said) > TOLERANCE
        ]

"""After a correction: the touched topics learn again, as if their pages had always been where they are now."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from pgvector import Vector as PgVector
from psycopg.types.json import Jsonb

from misir.orient.assign import Calibration, calibrated
from misir.orient.centroid import TopicState, seed, taught_difference, teach, untaught
from misir.orient.confidence import confidence, update_coherence
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Vector, cosines
from misir.plumbing.db import Connection
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.spaces", "topics.sql")


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One signal of a topic: which page, how deeply read, its vector (D,), and whether it may teach."""

    artifact_id: int
    level: EngagementLevel
    vector: Vector
    may_teach: bool


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A topic folded from its lessons. `taught`: weight by artifact; its keys are the topic's artifacts."""

    state: TopicState
    taught: dict[int, float]


def fold(
    start: TopicState,
    lessons: Iterable[Lesson],
    learning_rate: float,
    calibration: Calibration,
    config: EngineConfig,
) -> Learned:
    """PURE: the state after `lessons` in order, exactly as captures one by one would have left it (engine.md §0)."""
    state, taught = start, dict[int, float]()
    for lesson in lessons:
        if lesson.artifact_id not in taught:
            taught[lesson.artifact_id] = 0.0
            relevance = _relevance(state, lesson.vector, calibration)
            state = replace(
                state, coherence=update_coherence(state.coherence, relevance, len(taught), config)
            )
        weight = (
            taught_difference(lesson.level, taught[lesson.artifact_id], config) if lesson.may_teach else 0.0
        )
        state = teach(state, lesson.vector, weight, config, learning_rate=learning_rate)
        taught[lesson.artifact_id] += weight
    return Learned(state, taught)


def _relevance(state: TopicState, x: Vector, calibration: Calibration) -> float:
    if not state.has_centroid:
        return 1.0
    return float(calibrated(cosines(x, state.m[None, :])[0], calibration.mu, calibration.tau))


async def rebuild_topics(
    conn: Connection, res: Resources, user_id: uuid.UUID, topic_ids: Sequence[int], now: datetime
) -> None:
    """Fold each topic again from its log and store it. Holds the lock of lock_space_for_update."""
    for topic_id in sorted(set(topic_ids)):
        await _rebuild(conn, res, user_id, topic_id, now)


async def _rebuild(
    conn: Connection, res: Resources, user_id: uuid.UUID, topic_id: int, now: datetime
) -> None:
    wanted: dict[str, Any] = {"user_id": user_id, "topic_id": topic_id}
    topic = await (await conn.execute(SQL.load_topic, wanted)).fetchone()
    if topic is None:
        return
    seeds = await conn.execute(SQL.load_seed_vectors, wanted)
    lessons = await conn.execute(SQL.load_lessons, {**wanted, "space_id": topic["space_id"]})
    markers = [row["embedding"].to_numpy().astype(np.float32) for row in await seeds.fetchall()]
    start = seed(markers, res.config) if markers else untaught(res.embedder.dimension)
    learned = fold(
        start,
        [_lesson(row) for row in await lessons.fetchall()],
        topic["learning_rate"],
        res.embedder.calibration,
        res.config,
    )
    n_artifacts = len(learned.taught)
    await conn.execute(
        SQL.store_topic,
        {
            **wanted,
            "centroid": PgVector(learned.state.m) if learned.state.has_centroid else None,
            "weight_sum": learned.state.weight_sum,
            "signal_count": learned.state.signal_count,
            "artifact_count": n_artifacts,
            "coherence": learned.state.coherence,
            "confidence": confidence(learned.state.coherence, n_artifacts, res.config),
            "now": now,
        },
    )
    taught = {"artifact_ids": list(learned.taught), "weights": list(learned.taught.values())}
    await conn.execute(SQL.store_taught_weights, {**wanted, **taught})


def _lesson(row: dict[str, Any]) -> Lesson:
    vector = row["vector"].to_numpy().astype(np.float32)
    return Lesson(row["artifact_id"], EngagementLevel(row["engagement_level"]), vector, row["may_teach"])


async def log_correction(
    conn: Connection,
    user_id: uuid.UUID,
    space_id: int,
    kind: str,
    *,
    artifact_ids: Sequence[int] = (),
    subspace_ids: Sequence[int | None] = (),
    payload: dict[str, Any] | None = None,
) -> int:
    """Add a correction to the space's log and return its id. Holds the lock of lock_space_for_update."""
    rows = await conn.execute(
        SQL.log_correction,
        {
            "user_id": user_id,
            "space_id": space_id,
            "kind": kind,
            "artifact_ids": list(artifact_ids),
            "subspace_ids": [topic_id for topic_id in subspace_ids if topic_id is not None],
            "payload": Jsonb(payload or {}),
        },
    )
    return int((await rows.fetchone() or {})["id"])

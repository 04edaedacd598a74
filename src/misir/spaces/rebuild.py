"""After a correction: touched topics learn again, as if their pages had always been where they are now."""

from __future__ import annotations

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
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.spaces", "topics.sql")


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One signal of a topic: its page, how deeply read, its vector (D,), whether it may teach.

    `is_member`: is the page in the topic still?
    """

    artifact_id: int
    level: EngagementLevel
    vector: Vector
    may_teach: bool
    is_member: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A topic folded from its lessons. `taught`: weight by artifact, of the artifacts that are in it."""

    state: TopicState
    taught: dict[int, float]


def fold(
    start: TopicState,
    lessons: Sequence[Lesson],
    calibration: Calibration,
    config: EngineConfig,
    *,
    learning_rate: float,
) -> Learned:
    """PURE: the state after `lessons` in order, exactly as captures one by one leave it (engine.md §0)."""
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
    members = {lesson.artifact_id for lesson in lessons if lesson.is_member}
    return Learned(state, {artifact_id: w for artifact_id, w in taught.items() if artifact_id in members})


def _relevance(state: TopicState, x: Vector, calibration: Calibration) -> float:
    if not state.has_centroid:
        return 1.0  # the page that founds a topic agrees with itself
    return float(calibrated(cosines(x, state.m[None, :])[0], calibration.mu, calibration.tau))


async def rebuild_topics(tx: Tx, res: Resources, topic_ids: Iterable[int | None], now: datetime) -> None:
    """Fold each topic again from its log and store it. Holds the lock of lock_spaces_for_update."""
    for topic_id in sorted({one for one in topic_ids if one is not None}):
        await _rebuild(tx, res, topic_id, now)


async def _rebuild(tx: Tx, res: Resources, topic_id: int, now: datetime) -> None:
    topic = await (await tx.ask(SQL.load_topic, topic_id=topic_id)).fetchone()
    if topic is None:
        return
    seeds = await tx.ask(SQL.load_seed_vectors, topic_id=topic_id)
    rows = await tx.ask(SQL.load_lessons, topic_id=topic_id, space_id=topic["space_id"])
    markers = [row["embedding"].to_numpy() for row in await seeds.fetchall()]
    start = seed(markers, res.config) if markers else untaught(res.embedder.dimension)
    lessons = [_lesson(row) for row in await rows.fetchall()]
    rate = topic["learning_rate"]
    learned = fold(start, lessons, res.embedder.calibration, res.config, learning_rate=rate)
    await _store(tx, res, topic_id, learned, now)


def _lesson(row: dict[str, Any]) -> Lesson:
    vector = row["vector"].to_numpy().astype(np.float32)
    level = EngagementLevel(row["engagement_level"])
    return Lesson(row["artifact_id"], level, vector, row["may_teach"], row["is_member"])


async def _store(tx: Tx, res: Resources, topic_id: int, learned: Learned, now: datetime) -> None:
    state, n_artifacts = learned.state, len(learned.taught)
    await tx.ask(
        SQL.store_topic,
        topic_id=topic_id,
        centroid=PgVector(state.m) if state.has_centroid else None,
        weight_sum=state.weight_sum,
        signal_count=state.signal_count,
        artifact_count=n_artifacts,
        coherence=state.coherence,
        confidence=confidence(state.coherence, n_artifacts, res.config),
        now=now,
    )
    weights = list(learned.taught.values())
    await tx.ask(SQL.store_taught_weights, artifact_ids=list(learned.taught), weights=weights)


async def log_correction(
    tx: Tx,
    space_id: int,
    kind: str,
    *,
    artifact_ids: Sequence[int],
    subspace_ids: Iterable[int | None],
    payload: dict[str, Any] | None = None,
) -> None:
    """Add a correction to the space's log. Holds the lock of lock_spaces_for_update."""
    await tx.ask(
        SQL.log_correction,
        space_id=space_id,
        kind=kind,
        artifact_ids=list(artifact_ids),
        subspace_ids=[topic_id for topic_id in subspace_ids if topic_id is not None],
        payload=Jsonb(payload or {}),
    )

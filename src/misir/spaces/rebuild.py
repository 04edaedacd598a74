"""Topics learn again from the log, as if their pages had always been where the corrections put them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pgvector import Vector as PgVector

from misir.orient.centroid import TopicState, seed, untaught
from misir.orient.confidence import confidence
from misir.orient.config import EngineConfig
from misir.orient.fold import Fold, Lesson
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.spaces", "topics.sql")


@dataclass(frozen=True, slots=True)
class Shift:
    """A topic that learned again: how sure it was of itself and how large, before and after."""

    topic_id: int
    name: str
    confidence_before: float
    artifact_count_before: int
    confidence: float
    artifact_count: int


async def rebuild_topics(
    tx: Tx, res: Resources, topic_ids: Iterable[int | None], now: datetime
) -> list[Shift]:
    """Fold each topic again from its log, store it and its day's snapshot; what that changed.

    Holds the lock of lock_spaces_for_update. Costs as much as the topics have signals.
    """
    wanted = sorted({one for one in topic_ids if one is not None})
    shifts = [await _rebuild(tx, res, topic_id, now) for topic_id in wanted]
    if wanted:
        await tx.ask(SQL.upsert_snapshots, topic_ids=wanted, occurred_at=now)
    return [shift for shift in shifts if shift is not None]


async def _rebuild(tx: Tx, res: Resources, topic_id: int, now: datetime) -> Shift | None:
    topics = await tx.ask(SQL.load_topic, topic_id=topic_id)
    seeds = await tx.ask(SQL.load_seed_vectors, topic_ids=[topic_id])
    rows = await tx.ask(SQL.load_lessons, topic_id=topic_id)
    members = await tx.ask(SQL.list_members, topic_id=topic_id)
    topic = await topics.fetchone()
    if topic is None:
        return None
    starts = starts_of([topic_id], await seeds.fetchall(), res.config, res.embedder.dimension)
    fold = Fold(starts[topic_id], topic["learning_rate"])
    async for row in rows:
        fold.learn(read_lesson(row), res.embedder.calibration, res.config)
    present = {row["id"] for row in await members.fetchall()}
    await store_topic(tx, res, topic_id, fold, present, now)
    sure = confidence(fold.state.coherence, len(present), res.config)
    return Shift(topic_id, topic["name"], topic["confidence"], topic["artifact_count"], sure, len(present))


def starts_of(
    topic_ids: Iterable[int], seed_rows: Iterable[dict[str, Any]], config: EngineConfig, dimension: int
) -> dict[int, TopicState]:
    """The state each topic begins with, by rows of load_seed_vectors: its markers' prior, or nothing."""
    markers: dict[int, list[Any]] = {topic_id: [] for topic_id in topic_ids}
    for row in seed_rows:
        markers[row["topic_id"]].append(row["embedding"].to_numpy())
    return {
        topic_id: seed(vectors, config) if vectors else untaught(dimension)
        for topic_id, vectors in markers.items()
    }


def read_lesson(row: dict[str, Any]) -> Lesson:
    return Lesson(
        artifact_id=row["artifact_id"],
        position=row["position"],
        weight=row["base_weight"],
        vector=row["vector"].to_numpy().astype(np.float32),
        may_teach=row["may_teach"],
    )


def topic_numbers(state: TopicState, n_artifacts: int, res: Resources) -> dict[str, Any]:
    """A topic's state as the named values of the statements that write it."""
    return {
        "centroid": PgVector(state.m) if state.has_centroid else None,
        "weight_sum": state.weight_sum,
        "signal_count": state.signal_count,
        "artifact_count": n_artifacts,
        "coherence": state.coherence,
        "placed_count": state.placed_count,
        "confidence": confidence(state.coherence, n_artifacts, res.config),
    }


async def store_topic(
    tx: Tx, res: Resources, topic_id: int, fold: Fold, members: set[int], now: datetime
) -> None:
    """The folded state, and what each member taught. A page whose text left taught, and is no member."""
    numbers = topic_numbers(fold.state, len(members), res)
    await tx.ask(SQL.store_topic, numbers, topic_id=topic_id, model=res.embedder.fingerprint, now=now)
    shares = {artifact_id: share for artifact_id, share in fold.shares.items() if artifact_id in members}
    await tx.ask(
        SQL.store_shares,
        artifact_ids=list(shares),
        weights=[share.taught for share in shares.values()],
        positions=[share.since for share in shares.values()],
    )

"""The replay on the vectors to come: what every topic will be under the new model. Writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pgvector import Vector as PgVector

from misir.orient.centroid import TopicState
from misir.orient.confidence import confidence
from misir.orient.fold import Fold
from misir.plumbing.db import Tx
from misir.reembed.texts import SQL
from misir.resources import Resources
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import read_lesson, starts_of
from misir.spaces.replay import SQL as REPLAY

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Space:
    """A space as it was when `stamp` was read: another stamp, and a replay of it may be another."""

    id: int
    user_id: uuid.UUID
    stamp: str


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """A topic under the new model."""

    id: int
    state: TopicState
    confidence: float


Folded = dict[int, tuple[Space, list[Topic]]]
"""What was replayed so far, by space."""


async def list_spaces(tx: Tx) -> list[Space]:
    return [Space(**row) for row in await (await tx.ask(SQL.list_spaces)).fetchall()]


def list_stale(spaces: Iterable[Space], folded: Folded) -> list[Space]:
    """The spaces that were not replayed yet, or in which something has happened since."""
    return [one for one in spaces if one.id not in folded or folded[one.id][0] != one]


async def fold_space(tx: Tx, res: Resources, space: Space) -> list[Topic]:
    """Every topic of a space from the log, as a replay does it, on the new vectors."""
    asked = {"space_id": space.id, "user_id": space.user_id}
    rows = await (await tx.ask(REPLAY.load_all_topics, asked)).fetchall()
    starts = await _starts(tx, res, space, [row["id"] for row in rows])
    folds = {row["id"]: Fold(starts[row["id"]], row["learning_rate"]) for row in rows}
    async for lessons in tx.stream(SQL.stream_next_lessons, asked):
        for lesson in lessons:
            folds[lesson["subspace_id"]].learn(read_lesson(lesson), res.embedder.calibration, res.config)
    return [_topic(row, folds[row["id"]].state, res) for row in rows]


async def _starts(tx: Tx, res: Resources, space: Space, topic_ids: Sequence[int]) -> dict[int, TopicState]:
    """The state each topic begins with: the prior of its markers' new vectors, or nothing."""
    asked = {"user_id": space.user_id, "topic_ids": list(topic_ids)}
    seeds = await (await tx.ask(TOPICS.load_seed_vectors, asked)).fetchall()
    wanted = {"user_id": space.user_id, "marker_ids": [row["marker_id"] for row in seeds]}
    found = await (await tx.ask(SQL.load_next_seeds, wanted)).fetchall()
    # One that came after the last pass has none: its space is replayed again under the swap's lock.
    vectors = {row["id"]: row["next_embedding"] for row in found if row["next_embedding"] is not None}
    own = [row | {"embedding": vectors[row["marker_id"]]} for row in seeds if row["marker_id"] in vectors]
    return starts_of(topic_ids, own, res.config, res.embedder.dimension)


def _topic(row: Row, state: TopicState, res: Resources) -> Topic:
    return Topic(row["id"], state, confidence(state.coherence, row["artifact_count"], res.config))


def columns_of(topics: Sequence[Topic]) -> Row:
    """The topics as the named values of keep_topics."""
    states = [topic.state for topic in topics]
    return {
        "ids": [topic.id for topic in topics],
        "centroids": [PgVector(one.m.astype(np.float32)) if one.has_centroid else None for one in states],
        "weight_sums": [one.weight_sum for one in states],
        "signal_counts": [one.signal_count for one in states],
        "coherences": [one.coherence for one in states],
        "placed_counts": [one.placed_count for one in states],
        "confidences": [topic.confidence for topic in topics],
    }

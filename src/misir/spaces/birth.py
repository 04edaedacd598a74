"""A topic is born: three unassigned pages that mean the same found it, and their like join (engine.md §5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from pgvector import HalfVector

from misir.orient.assign import AssignedBy
from misir.orient.birth import adopted, find_founders
from misir.orient.naming import telling_name
from misir.orient.vectors import Vector, unit
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import Move, correct
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.reshape import note

SQL = load_statements("misir.spaces", "birth.sql")


async def give_birth(
    tx: Tx, res: Resources, space_id: int, artifact_id: int, vector: Vector, now: datetime
) -> dict[str, Any] | None:
    """Found a topic with an unassigned artifact, if two others of the pool are near enough; else None.

        find_founders → adopted → name → insert → `adopt` correction → event born

    The answer is what the capture then says of its page. Holds lock_space_for_update.
    """
    founders = await _find_founders(tx, res, space_id, artifact_id, vector)
    if founders is None:
        return None
    pool, topics = await _load_pool(tx, res, space_id, [artifact_id, *founders])
    members = _members(res, pool, topics, {artifact_id, *founders})
    titles = [row["title"] for row in pool if row["id"] in {artifact_id, *founders} and row["title"]]
    name = telling_name(titles, {topic["name"] for topic in topics})
    inserted = await tx.ask(
        SQL.insert_born_topic, space_id=space_id, name=name, model=res.embedder.fingerprint
    )
    topic_id = int((await inserted.fetchone() or {})["id"])
    moves = [Move(one, None, topic_id, AssignedBy.ENGINE, teaches=True) for one in members]
    payload = {"founders": [artifact_id, *founders]}
    logged = await correct(tx, res, space_id, "adopt", moves, now, actor="engine", payload=payload)
    await tx.ask(SQL.anchor_at_birth, topic_id=topic_id, now=now)
    cause = {"correction_id": logged.id, "artifact_ids": [artifact_id, *founders]}
    numbers = {"name": name, "artifact_count": len(members)}
    await note(tx, space_id, topic_id, "born", cause=cause, numbers=numbers, at=now)
    placed = await (await tx.ask(SQL.load_placement, artifact_id=artifact_id)).fetchone()
    return {**(placed or {}), "message": f"Captured. With two others it founded the topic “{name}”."}


async def _find_founders(
    tx: Tx, res: Resources, space_id: int, artifact_id: int, vector: Vector
) -> list[int] | None:
    """The two nearest unassigned pages, if all three are near each other."""
    rows = await tx.ask(
        SQL.find_nearest_unassigned,
        space_id=space_id,
        artifact_id=artifact_id,
        vector=HalfVector(vector),
        model=res.embedder.fingerprint,
        pool_size=res.config.birth_pool,
    )
    near = await rows.fetchall()
    if len(near) < 2:
        return None
    vectors = np.stack([row["vector"].to_numpy() for row in near])
    found = find_founders(vector, vectors, res.embedder.calibration.novelty_item)
    return None if found is None else [near[row]["id"] for row in found]


async def _load_pool(
    tx: Tx, res: Resources, space_id: int, founders: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pool of unassigned pages, the founders included, and every topic there is."""
    pool = await tx.ask(
        SQL.load_unassigned,
        space_id=space_id,
        founders=list(founders),
        model=res.embedder.fingerprint,
        pool_size=res.config.birth_pool,
    )
    topics = await tx.ask(TOPICS.load_topics, space_id=space_id)
    return await pool.fetchall(), await topics.fetchall()


def _members(
    res: Resources, pool: Sequence[dict[str, Any]], topics: Sequence[dict[str, Any]], founders: set[int]
) -> list[int]:
    """The founders, and who of the pool is likelier theirs than anybody's; in log order."""
    vectors = np.stack([row["vector"].to_numpy() for row in pool])
    is_founder = np.array([row["id"] in founders for row in pool])
    centroid = unit(vectors[is_founder].mean(axis=0, dtype=np.float64))
    others = [topic["centroid"].to_numpy() for topic in topics if topic["centroid"] is not None]
    joining = adopted(
        vectors, centroid, np.array(others).reshape(-1, res.embedder.dimension), res.embedder.calibration
    )
    return [row["id"] for index, row in enumerate(pool) if is_founder[index] or index in joining]

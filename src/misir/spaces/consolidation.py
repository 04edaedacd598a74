"""Consolidation: the engine looks at its placements again; one pass cannot mend its mistakes (§5)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from misir.orient.assign import AssignedBy
from misir.orient.consolidation import UNASSIGNED, Consolidation, consolidate
from misir.orient.naming import telling_name
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Vector
from misir.orient.weight import base_weight
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.birth import SQL as BIRTH
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import Move, correct
from misir.spaces.drift import SQL
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import starts_of
from misir.spaces.reshape import note

MAX_ITEMS: Final = 5_000
"""Newest artifacts that are looked at again; a topic's older ones hold it where it is."""

N_NAMED: Final = 50
"""How many of the moved artifacts the event names; the correction names all."""

AT_LEAST_EVERY: Final = timedelta(days=1)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """A space as it was read: items in log order, topics, and the prior (D,) and its weight of each topic.

    may_found: may topics arise that nobody declared?
    """

    items: Sequence[Row]
    topics: Sequence[Row]
    priors: Vector
    prior_weights: Sequence[float]
    may_found: bool


async def consolidate_space(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> int:
    """Look at the engine's placements again, when enough is new; how many artifacts moved.

        read items and topics → consolidate, on a thread → lock the space → `consolidate` correction, events

    Takes lock_spaces_for_update. What anybody moved meanwhile is left alone.
    """
    async with res.database.as_service(user_id) as tx:
        space = await (await tx.ask(SQL.load_progress, space_id=space_id)).fetchone()
        if space is None or not await _is_due(tx, res, space, now):
            return 0
        scene = await _load(tx, res, space)
    proposal = await asyncio.to_thread(_propose, scene, res) if scene.items else None
    async with res.database.as_service(user_id) as tx:
        await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])
        n_moved = 0 if proposal is None else await _apply(tx, res, space_id, scene, (proposal, now))
        await tx.ask(SQL.note_consolidation, space_id=space_id, now=now)
    return n_moved


async def _is_due(tx: Tx, res: Resources, space: Row, now: datetime) -> bool:
    """After 20 new signals, or a fiftieth of a large space; at least daily when there were any."""
    asked = {"space_id": space["id"], "consolidated_seq": space["consolidated_seq"]}
    news = await (await tx.ask(SQL.count_news, asked)).fetchone() or {}
    n_new, last_at = news["signal_count"], space["consolidated_at"]
    enough = max(res.config.consolidation_signals, news["artifact_count"] * res.config.consolidation_share)
    is_stale = last_at is not None and now - last_at >= AT_LEAST_EVERY
    return bool(n_new >= enough or (n_new and is_stale))


async def _load(tx: Tx, res: Resources, space: Row) -> Scene:
    asked = {"space_id": space["id"], "model": res.embedder.fingerprint, "limit": MAX_ITEMS}
    items = await (await tx.ask(SQL.load_items, asked)).fetchall()
    rows = await (await tx.ask(TOPICS.load_topics, space_id=space["id"])).fetchall()
    topics = [row for row in rows if row["centroid"] is not None]
    n_loaded = {topic["id"]: 0 for topic in topics}
    for item in items:
        if item["subspace_id"] in n_loaded:
            n_loaded[item["subspace_id"]] += 1
    seeds = await tx.ask(TOPICS.load_seed_vectors, topic_ids=list(n_loaded))
    starts = starts_of(n_loaded, await seeds.fetchall(), res.config, res.embedder.dimension)
    priors, weights = list[Vector](), list[float]()
    for topic in topics:
        n_older = topic["artifact_count"] - n_loaded[topic["id"]]
        if n_older > 0:  # those that are not looked at hold it in place
            priors.append(topic["centroid"].to_numpy())
            weights.append(topic["weight_sum"] * n_older / topic["artifact_count"])
        else:
            start = starts[topic["id"]]
            priors.append(start.m)
            weights.append(start.weight_sum)
    vectors = np.array(priors).reshape(-1, res.embedder.dimension)
    return Scene(items, topics, vectors, weights, may_found=space["auto_subspaces"])


def _propose(scene: Scene, res: Resources) -> Consolidation:
    row_of = {topic["id"]: row for row, topic in enumerate(scene.topics)}
    config, weights = res.config, scene.prior_weights
    return consolidate(
        np.stack([item["vector"].to_numpy() for item in scene.items]),
        [base_weight(EngagementLevel(item["engagement_level"]), config) for item in scene.items],
        [row_of.get(item["subspace_id"], -1) for item in scene.items],
        is_movable=[item["assigned_by"] in {None, "engine"} for item in scene.items],
        priors=scene.priors,
        prior_weights=weights,
        is_pinned=[_is_held(topic, weight) for topic, weight in zip(scene.topics, weights, strict=True)],
        calibration=res.embedder.calibration,
        config=config,
        may_found=scene.may_found,
    )


def _is_held(topic: Row, prior_weight: float) -> bool:
    """Does a person hold it: pinned, or named, without markers that would keep it where it is?"""
    return bool(topic["pinned"] or (topic["named_by"] == "user" and not prior_weight))


async def _apply(
    tx: Tx, res: Resources, space_id: int, scene: Scene, found: tuple[Consolidation, datetime]
) -> int:
    """One correction that names every move, and the births and ends that come with it.

    A topic of the engine's that lost all it had is seen no more; undoing the correction brings it back.
    """
    proposal, now = found
    moved = await _still_true(tx, scene, proposal)
    rows = await (await tx.ask(TOPICS.load_topics, space_id=space_id)).fetchall()
    open_ids = {row["id"] for row in rows}
    born = await _found_topics(tx, res, space_id, scene, proposal, moved)
    moves = _moves(scene, proposal, moved, born, open_ids)
    if not moves:
        return 0
    ending = [scene.topics[row]["id"] for row in proposal.dissolved]
    gone = await _emptied(tx, ending, moves)
    payload = {"dissolved": gone, "born": sorted(born.values()), "rounds": proposal.rounds}
    logged = await correct(
        tx,
        res,
        space_id,
        "consolidate",
        moves,
        now,
        actor="engine",
        subspace_ids=[*gone, *born.values()],
        payload=payload,
    )
    cause = {"correction_id": logged.id, "artifact_ids": [move.artifact_id for move in moves][:N_NAMED]}
    for topic_id in gone:
        await tx.ask(TOPICS.set_topic_state, topic_id=topic_id, state="retired", deleted_at=now)
        await note(tx, space_id, topic_id, "retired", cause=cause, numbers={"dissolved": True}, at=now)
    for topic_id in born.values():
        await tx.ask(BIRTH.anchor_at_birth, topic_id=topic_id, now=now)
        own = [move.artifact_id for move in moves if move.to_id == topic_id]
        numbers = {"artifact_count": len(own)}
        await note(
            tx,
            space_id,
            topic_id,
            "born",
            cause=cause | {"artifact_ids": own[:N_NAMED]},
            numbers=numbers,
            at=now,
        )
    numbers = {"moved": len(moves), "dissolved": len(gone), "born": len(born)}
    await note(tx, space_id, None, "consolidated", cause=cause, numbers=numbers, at=now)
    return len(moves)


async def _still_true(tx: Tx, scene: Scene, proposal: Consolidation) -> list[int]:
    """The rows that are still where they were, and still the engine's to place."""
    ids = [scene.items[row]["id"] for row in proposal.moved]
    rows = await tx.ask(SQL.list_places, artifact_ids=ids)
    now_at = {row["id"]: (row["subspace_id"], row["assigned_by"]) for row in await rows.fetchall()}
    return [
        row
        for row, item in ((row, scene.items[row]) for row in proposal.moved)
        if now_at.get(item["id"]) == (item["subspace_id"], item["assigned_by"])
    ]


async def _found_topics(
    tx: Tx, res: Resources, space_id: int, scene: Scene, proposal: Consolidation, moved: Sequence[int]
) -> dict[int, int]:
    """Topics for the new groups, by their number in the proposal; for those that are large enough still."""
    taken, born = {topic["name"] for topic in scene.topics}, dict[int, int]()
    for number in range(len(scene.topics), len(scene.topics) + proposal.n_born):
        members = [scene.items[row] for row in moved if proposal.index[row] == number]
        if len(members) < res.config.min_topic_items:
            continue
        name = telling_name([one["title"] for one in members if one["title"]], taken)
        new = {"space_id": space_id, "name": name, "model": res.embedder.fingerprint}
        inserted = await tx.ask(BIRTH.insert_born_topic, new)
        born[number] = int((await inserted.fetchone() or {})["id"])
        taken.add(name)
    return born


async def _emptied(tx: Tx, topic_ids: Sequence[int], moves: Sequence[Move]) -> list[int]:
    """Those of the topics that the moves leave empty; what was captured into one meanwhile saves it."""
    leaving = {move.artifact_id for move in moves}
    rows = [await (await tx.ask(TOPICS.list_members, topic_id=one)).fetchall() for one in topic_ids]
    members = zip(topic_ids, rows, strict=True)
    return [topic_id for topic_id, some in members if {row["id"] for row in some} <= leaving]


def _moves(
    scene: Scene,
    proposal: Consolidation,
    moved: Sequence[int],
    born: Mapping[int, int],
    open_ids: set[int],
) -> list[Move]:
    """Where each goes; whoever was to go into a topic that is not there (any more) stays."""
    there = {row: topic["id"] for row, topic in enumerate(scene.topics) if topic["id"] in open_ids}
    ids = {UNASSIGNED: None} | there | dict(born)
    moves = []
    for row in moved:
        item, number = scene.items[row], int(proposal.index[row])
        if number in ids:
            by = None if number == UNASSIGNED else AssignedBy.ENGINE
            moves.append(Move(item["id"], item["subspace_id"], ids[number], by, teaches=True))
    return moves

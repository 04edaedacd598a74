"""Putting artifacts elsewhere: another topic, another space, the trash, or back; one or hundreds at once.

Everything here runs inside the caller's transaction and under the locks of all spaces it concerns
(lock_spaces_for_update), and leaves what the log says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np

from misir.errors import conflict
from misir.library.views import SQL
from misir.orient.assign import AssignedBy, assign, marker_boosts
from misir.orient.birth import similarity_matrix
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import (
    Kind,
    Logged,
    Move,
    correct,
    list_touched,
    log_correction,
    place,
    require_open_topic,
)
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import rebuild_topics
from misir.spaces.topic import Topic, read_topic
from misir.webhooks.outbox import EventType, emit_all

Row = Mapping[str, Any]

_NO_NUMBERS = dict.fromkeys(("similarity", "raw_margin", "probability", "fit"))


async def move_artifacts(
    tx: Tx,
    res: Resources,
    artifacts: Sequence[Row],
    to_space: int,
    topic_id: int | None,
    now: datetime,
    *,
    is_named: bool,
) -> list[Logged]:
    """Place the artifacts where a person said; topics learn again as if they had always been there.

    Into `topic_id` of `to_space`, or, where no topic `is_named`, wherever the engine thinks there; a named
    topic of None means: in no topic. One correction for each space that they come from. 404 unknown topic;
    409 a retired one, or an address that the space holds already.
    """
    if topic_id is not None:
        await require_open_topic(tx, to_space, topic_id)
    await _make_room(tx, to_space, [one for one in artifacts if one["space_id"] != to_space])
    ids = [one["id"] for one in artifacts]
    chosen = await choose_places(tx, res, to_space, ids, topic_id, is_named=is_named)
    logged = []
    for from_space, group in by_space(artifacts):
        moves = [_move(one, chosen[one["id"]]) for one in group]
        if from_space == to_space:
            logged.append(await correct(tx, res, to_space, "move", moves, now))
        else:
            logged.append(await _move_out(tx, res, from_space, to_space, moves, now))
    return logged


def by_space(artifacts: Iterable[Row]) -> list[tuple[int, list[Row]]]:
    """The artifacts of each space, spaces in the order of their ids."""
    ordered = sorted(artifacts, key=lambda one: (one["space_id"], one["id"]))
    return [(space, list(group)) for space, group in groupby(ordered, key=lambda one: int(one["space_id"]))]


def _move(artifact: Row, place: Row) -> Move:
    to_id, by = place["subspace_id"], place["assigned_by"]
    return Move(artifact["id"], artifact["subspace_id"], to_id, by, teaches=place["teaches"])


async def _move_out(
    tx: Tx, res: Resources, from_space: int, to_space: int, moves: Sequence[Move], now: datetime
) -> Logged:
    """Into another space. Both logs tell it; in the new one the pages count from their arrival."""
    artifact_ids = [move.artifact_id for move in moves]
    touched = await list_touched(tx, artifact_ids)
    payload = {"from_space": from_space, "to_space": to_space}
    for space_id, topics in ((from_space, {m.from_id for m in moves}), (to_space, {m.to_id for m in moves})):
        arrival = await log_correction(
            tx,
            space_id,
            "move",
            artifact_ids=artifact_ids,
            subspace_ids=[topic for topic in topics if topic is not None],
            payload=payload,
            moves=moves,
        )
    await tx.ask(LOG.rehouse_artifacts, artifact_ids=artifact_ids, space_id=to_space, seq=arrival.seq)
    return replace(arrival, shifts=await place(tx, res, to_space, moves, touched, now))


async def _make_room(tx: Tx, space_id: int, coming: Sequence[Row]) -> None:
    """An address is in a space once: a live one stops the move, a trashed one makes way."""
    if not coming:
        return
    hashes = [one["url_hash"] for one in coming]
    if len(set(hashes)) < len(hashes):
        raise conflict("Two of these artifacts have the same address: a space holds an address once.")
    same = await (await tx.ask(SQL.find_same_pages, space_id=space_id, url_hashes=hashes)).fetchall()
    live = [row["id"] for row in same if not row["is_deleted"]]
    if live:
        raise conflict(f"The other space holds this address already, as artifact {live[0]}.")
    if same:
        await tx.ask(SQL.purge_artifacts, artifact_ids=[row["id"] for row in same])


async def choose_places(
    tx: Tx,
    res: Resources,
    space_id: int,
    artifact_ids: Sequence[int],
    topic_id: int | None,
    *,
    is_named: bool,
) -> dict[int, dict[str, Any]]:
    """For each artifact the topic a person named, or, where they named none, the engine's; and its fit.

    Measured before the topics learn of the pages.
    """
    rows = await tx.ask(TOPICS.load_topics, space_id=space_id)
    marked = await tx.ask(SQL.load_marker_vectors, space_id=space_id)
    found = await tx.ask(LOG.load_vectors, artifact_ids=list(artifact_ids), model=res.embedder.fingerprint)
    topics = [read_topic(row, res.embedder.dimension) for row in await rows.fetchall()]
    markers = await marked.fetchall()
    vectors = {row["id"]: row["vector"].to_numpy() for row in await found.fetchall()}
    index = next((index for index, topic in enumerate(topics) if topic.id == topic_id), None)
    if not topics or (is_named and index is None):
        by = AssignedBy.USER if is_named else None
        fixed = {**_NO_NUMBERS, "subspace_id": topic_id, "assigned_by": by, "teaches": is_named}
        return dict.fromkeys(artifact_ids, fixed)
    lit = _lit_topics(res, vectors, markers)
    return {
        artifact_id: _choose(res, topics, vectors.get(artifact_id), lit.get(artifact_id, set()), index)
        for artifact_id in artifact_ids
    }


def _choose(
    res: Resources, topics: Sequence[Topic], vector: Vector | None, lit: set[int], index: int | None
) -> dict[str, Any]:
    """PURE: the place of one page; `index` is of the topic a person named. Without a vector, by name only."""
    if vector is None:
        by, at = (None, None) if index is None else (AssignedBy.USER, topics[index].id)
        return {**_NO_NUMBERS, "subspace_id": at, "assigned_by": by, "teaches": index is not None}
    placed = assign(
        vector,
        np.stack([topic.state.m for topic in topics]),
        marker_boosts([topic.id in lit for topic in topics], res.embedder.calibration.mu, res.config),
        res.embedder.calibration,
        res.config,
        forced=index,
        by=AssignedBy.ENGINE if index is None else AssignedBy.USER,
    )
    return {
        "subspace_id": None if placed.index is None else topics[placed.index].id,
        "assigned_by": placed.assigned_by,
        "teaches": placed.updates_centroid,
        "similarity": placed.similarity,
        "raw_margin": placed.margin,
        "probability": placed.probability,
        "fit": placed.fit,
    }


def _lit_topics(res: Resources, vectors: Mapping[int, Vector], markers: Sequence[Row]) -> dict[int, set[int]]:
    """By artifact: the topics one of whose markers means what the page means."""
    if not vectors or not markers:
        return {}
    phrases = np.stack([row["embedding"].to_numpy() for row in markers]).astype(np.float64)
    similarities = similarity_matrix(np.stack(list(vectors.values())).astype(np.float64), phrases)
    novelty = res.embedder.calibration.novelty
    return {
        artifact_id: {
            marker["topic_id"] for marker, near in zip(markers, row >= novelty, strict=True) if near
        }
        for artifact_id, row in zip(vectors, similarities, strict=True)
    }


async def set_deleted(
    tx: Tx, res: Resources, space_id: int, artifacts: Sequence[Row], now: datetime, *, is_deleted: bool
) -> Logged:
    """Trash or untrash artifacts of one space, log it, let the topics learn again, and tell who listens."""
    ids = [one["id"] for one in artifacts]
    touched = await list_touched(tx, ids)
    await tx.ask(SQL.set_trashed, artifact_ids=ids, space_id=space_id, deleted_at=now if is_deleted else None)
    touched |= await list_touched(tx, ids)
    kind: Kind = "delete" if is_deleted else "restore"
    logged = await log_correction(tx, space_id, kind, artifact_ids=ids, subspace_ids=sorted(touched))
    shifts = await rebuild_topics(tx, res, touched, now)
    event: EventType = "artifact.deleted" if is_deleted else "artifact.restored"
    await emit_all(tx, event, [told(one, cause="correction") for one in artifacts])
    return replace(logged, shifts=shifts)


def told(artifact: Row, *, cause: str) -> dict[str, Any]:
    """What leaves the house of an artifact's row: where it is, never its text."""
    shown = ("space_id", "subspace_id", "url", "title", "engagement_level")
    return {"artifact_id": artifact["id"], "cause": cause} | {one: artifact[one] for one in shown}

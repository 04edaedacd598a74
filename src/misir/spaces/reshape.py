"""A person reshapes topics: merges two, splits one, retires or deletes one; each can be undone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from misir.errors import conflict, not_found
from misir.orient.assign import AssignedBy
from misir.orient.naming import telling_name
from misir.orient.proposals import two_means
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import Logged, Move, correct, lock_spaces
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.schemas import Reshaped
from misir.spaces.shifts import changes_of
from misir.webhooks.outbox import emit

SQL = load_statements("misir.spaces", "reshape.sql")

MAX_SPLIT = 20_000
"""Members that are told apart by meaning in one request; a larger topic is split by naming who leaves."""

TOLD: Final = {
    "born": "",
    "drifted": "",
    "merged": "into",
    "split": "from",
    "dormant": "",
    "returned": "",
}
"""Events that leave the house, and, where both topics concerned have one, whose of the two leaves."""

Row = dict[str, Any]


async def merge_topics(
    res: Resources, user_id: uuid.UUID, topic_id: int, into_id: int, now: datetime
) -> Reshaped:
    """All artifacts and markers of one topic go into another, which keeps its id; the empty one retires.

    One transaction. Takes lock_spaces_for_update. 404 unknown topic; 409 itself, another space's, retired.
    """
    async with res.database.as_user(user_id) as tx:
        topic, into = await _lock_topics(tx, topic_id, into_id)
        if topic["id"] == into["id"]:
            raise conflict("A topic cannot be merged into itself: name another in `into`.")
        if topic["space_id"] != into["space_id"]:
            raise conflict("The two topics are in different spaces: move the artifacts instead.")
        members = await _members(tx, topic_id)
        moves = [Move(one["id"], topic_id, into_id, _by(one), teaches=None) for one in members]
        linked = await (await tx.ask(SQL.copy_markers, topic_id=topic_id, into_id=into_id)).fetchall()
        payload = {
            "state": topic["state"],
            "from": topic_id,
            "into": into_id,
            "markers": [row["marker_id"] for row in linked],
        }
        logged = await correct(
            tx, res, topic["space_id"], "merge", moves, now, subspace_ids=[topic_id, into_id], payload=payload
        )
        await tx.ask(TOPICS.set_topic_state, topic_id=topic_id, state="retired", deleted_at=None)
        cause = {"correction_id": logged.id, "from": topic_id, "into": into_id}
        for concerned in (topic_id, into_id):
            numbers = {"artifacts": len(moves)}
            await note(tx, topic["space_id"], concerned, "merged", cause=cause, numbers=numbers, at=now)
    return _reshaped(logged, into_id, moves, f"Merged into “{into['name']}”, which keeps its id.")


async def split_topic(
    res: Resources,
    user_id: uuid.UUID,
    topic_id: int,
    now: datetime,
    *,
    artifact_ids: Sequence[int] | None = None,
    name: str | None = None,
) -> Reshaped:
    """Part of a topic becomes a topic of its own: the artifacts named, else the smaller of its two halves.

    One transaction. Takes lock_spaces_for_update. 404 unknown topic or artifact; 409 nothing to split.
    """
    async with res.database.as_user(user_id) as tx:
        (topic,) = await _lock_topics(tx, topic_id)
        members = await _members(tx, topic_id)
        leaving = await _leaving(tx, res, topic_id, members, artifact_ids)
        titles = [one["title"] for one in members if one["id"] in leaving and one["title"]]
        taken = {row["name"] for row in await (await tx.ask(SQL.list_names, topic_id=topic_id)).fetchall()}
        chosen = _free(name, taken) if name else telling_name(titles, taken)
        by = AssignedBy.USER if name else AssignedBy.ENGINE
        inserted = await tx.ask(SQL.insert_split_topic, topic_id=topic_id, name=chosen, named_by=by, now=now)
        new_id = int((await inserted.fetchone() or {})["id"])
        moves = [Move(one["id"], topic_id, new_id, _by(one)) for one in members if one["id"] in leaving]
        logged = await correct(
            tx, res, topic["space_id"], "split", moves, now, subspace_ids=[topic_id, new_id]
        )
        cause = {"correction_id": logged.id, "from": topic_id, "new": new_id}
        for concerned in (topic_id, new_id):
            numbers = {"artifacts": len(moves)}
            await note(tx, topic["space_id"], concerned, "split", cause=cause, numbers=numbers, at=now)
    return _reshaped(logged, new_id, moves, f"Split: “{chosen}” is a topic of its own now.")


async def retire_topic(
    res: Resources, user_id: uuid.UUID, topic_id: int, now: datetime, *, is_deleted: bool = False
) -> Reshaped:
    """The topic takes no more artifacts; deleted, it also lets go of those it has, and is seen no more.

    One transaction. Takes lock_spaces_for_update. 404 unknown topic; 409 retired already.
    """
    async with res.database.as_user(user_id) as tx:
        (topic,) = await _lock_topics(tx, topic_id, may_be_retired=is_deleted)
        members = await _members(tx, topic_id) if is_deleted else []
        moves = [Move(one["id"], topic_id, None, None) for one in members]
        payload = {"state": topic["state"], "deleted": is_deleted}
        logged = await correct(
            tx, res, topic["space_id"], "retire", moves, now, subspace_ids=[topic_id], payload=payload
        )
        deleted_at = now if is_deleted else None
        await tx.ask(TOPICS.set_topic_state, topic_id=topic_id, state="retired", deleted_at=deleted_at)
        cause = {"correction_id": logged.id}
        numbers = {"deleted": is_deleted, "artifacts": len(moves)}
        await note(tx, topic["space_id"], topic_id, "retired", cause=cause, numbers=numbers, at=now)
    said = (
        "Deleted: its artifacts are unassigned now." if is_deleted else "Retired: it takes no more artifacts."
    )
    return _reshaped(logged, topic_id, moves, said)


async def _lock_topics(tx: Tx, *topic_ids: int, may_be_retired: bool = False) -> list[Row]:
    """The topics as they are under their spaces' locks. Takes lock_spaces_for_update."""
    found = [await (await tx.ask(TOPICS.find_topic, topic_id=one)).fetchone() for one in topic_ids]
    if None in found:
        raise not_found("The subspace")
    await lock_spaces(tx, [row["space_id"] for row in found if row is not None])
    rows = [await (await tx.ask(TOPICS.find_topic, topic_id=one)).fetchone() for one in topic_ids]
    locked = [row for row in rows if row is not None]
    if len(locked) < len(topic_ids):
        raise not_found("The subspace")
    if any(row["state"] == "retired" for row in locked) and not may_be_retired:
        raise conflict("The subspace is retired: undo the correction that retired it first.")
    return locked


async def _members(tx: Tx, topic_id: int) -> list[Row]:
    """Everything in the topic, the trash included: what is restored later is then in its new place."""
    return await (await tx.ask(SQL.list_all_members, topic_id=topic_id)).fetchall()


def _by(member: Row) -> AssignedBy:
    """Who put it there stays answerable for it."""
    return AssignedBy(member["assigned_by"] or AssignedBy.ENGINE)


async def _leaving(
    tx: Tx, res: Resources, topic_id: int, members: Sequence[Row], artifact_ids: Sequence[int] | None
) -> set[int]:
    """Who goes: some, and not all."""
    present = {one["id"] for one in members}
    if artifact_ids is not None:
        leaving = set(artifact_ids)
        if leaving - present:
            raise not_found("An artifact of this subspace")
    else:
        leaving = await _smaller_half(tx, res, topic_id, len(members))
    if not leaving or leaving == present:
        raise conflict(
            "There is nothing to split: name some of its artifacts, but not all, in `artifact_ids`."
        )
    return leaving


async def _smaller_half(tx: Tx, res: Resources, topic_id: int, n_members: int) -> set[int]:
    if n_members > MAX_SPLIT:
        raise conflict(f"More than {MAX_SPLIT:,} artifacts: name those that leave in `artifact_ids`.")
    rows = await (
        await tx.ask(SQL.load_member_vectors, topic_id=topic_id, model=res.embedder.fingerprint)
    ).fetchall()
    if len(rows) < 2:
        return set()
    labels = two_means(np.stack([row["vector"].to_numpy() for row in rows]), res.config)
    smaller = 1 if np.count_nonzero(labels) * 2 <= len(labels) else 0
    return {row["id"] for row, label in zip(rows, labels, strict=True) if label == smaller}


def _free(name: str, taken: set[str]) -> str:
    if name.lower() in {one.lower() for one in taken}:
        raise conflict(f"The space has a subspace “{name}” already: choose another name.")
    return name


async def note(
    tx: Tx,
    space_id: int,
    topic_id: int | None,
    kind: str,
    *,
    cause: dict[str, Any],
    numbers: dict[str, Any],
    at: datetime,
) -> None:
    """An event in a topic's life; without a topic, in its space's. Never retracted."""
    await tx.ask(
        TOPICS.insert_event,
        space_id=space_id,
        topic_id=topic_id,
        type=kind,
        cause=Jsonb(cause),
        numbers=Jsonb(numbers),
        occurred_at=at,
    )
    if kind in TOLD and topic_id == cause.get(TOLD[kind], topic_id):
        told = {"subspace_id": topic_id, "space_id": space_id, "cause": cause, "numbers": numbers}
        await emit(tx, f"subspace.{kind}", told)  # type: ignore[arg-type]


def _reshaped(logged: Logged, topic_id: int, moves: Sequence[Move], message: str) -> Reshaped:
    return Reshaped(
        correction_id=logged.id,
        subspace_id=topic_id,
        artifact_count=len(moves),
        message=message,
        topics=changes_of([logged]),
    )

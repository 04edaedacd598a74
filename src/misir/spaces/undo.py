"""Undoing a correction: it no longer counts, and everything is as the rest of the log says."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from misir.errors import conflict, not_found
from misir.library.moving import told
from misir.library.views import SQL as LIBRARY
from misir.orient.assign import AssignedBy
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import SQL, Logged, Move, list_touched, lock_spaces, log_correction, place
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import Shift, rebuild_topics
from misir.spaces.reshape import SQL as RESHAPE
from misir.spaces.reshape import note
from misir.spaces.schemas import Undone
from misir.spaces.shifts import changes_of
from misir.webhooks.outbox import EventType, emit_all

WAYS_BACK = {
    "adopt": "merge the topic into another, or retire it, instead",
    "undo": "make the correction again instead",
    "seed": "retire the topic instead",
    "marker": "add or remove the marker again instead",
}
"""What cannot be undone as such, and what to do instead."""

Row = dict[str, Any]


async def undo_correction(res: Resources, user_id: uuid.UUID, correction_id: int, now: datetime) -> Undone:
    """Take a correction back, in one transaction. Takes lock_spaces_for_update.

        find it, and its twin in another space's log
        lock → log `undo` → artifacts to where the log now says → topics open again → topics learn again
        who listens hears of each artifact that is elsewhere again, as of the correction itself

    404 unknown; 409 undone already, too old, or of a kind that has another way back.
    """
    async with res.database.as_user(user_id) as tx:
        found = await _find(tx, correction_id)
        twins = await (await tx.ask(SQL.find_twins, found, kind=found["kind"])).fetchall()
        entries = twins if found["kind"] == "move" else [found]
        await lock_spaces(tx, [entry["space_id"] for entry in entries])
        _require_undoable(res, await _find(tx, correction_id), now)
        if len(entries) == 1 and "from_space" in found["payload"]:
            raise conflict("The space it came from has been purged: there is no way back.")
        if len(entries) > 1:
            logged = await _move_back(tx, res, found, entries, now)
        else:
            logged = await _undo(tx, res, found, now)
        if found["kind"] == "move":
            back = await _load(tx, found["artifact_ids"])
            await emit_all(tx, "artifact.updated", [told(one, cause="undo") for one in back])
    return Undone(
        correction_id=logged.id,
        undone=correction_id,
        kind=found["kind"],
        message="Undone: everything is as if it had not been made.",
        topics=changes_of([logged]),
    )


async def _find(tx: Tx, correction_id: int) -> Row:
    row = await (await tx.ask(SQL.find_correction, correction_id=correction_id)).fetchone()
    if row is None:
        raise not_found("The correction")
    return row


def _require_undoable(res: Resources, found: Row, now: datetime) -> None:
    if found["kind"] in WAYS_BACK:
        way_back = WAYS_BACK[found["kind"]]
        raise conflict(f"A correction of the kind {found['kind']} cannot be undone: {way_back}.")
    if found["is_undone"]:
        raise conflict("This correction has been undone already.")
    if now - found["created_at"] > timedelta(days=res.config.undo_days):
        raise conflict(f"Corrections can be undone for {res.config.undo_days} days; this one is older.")


async def _undo(tx: Tx, res: Resources, found: Row, now: datetime) -> Logged:
    """Within one space. What came into a topic that goes away again goes where that topic came from."""
    space_id = found["space_id"]
    moved = await (await tx.ask(SQL.list_moved, correction_id=found["id"])).fetchall()
    artifact_ids = [row["artifact_id"] for row in moved] or found["artifact_ids"]
    touched = await list_touched(tx, artifact_ids)
    orphans = await _orphans(tx, found, {*artifact_ids})
    logged = await log_correction(
        tx, space_id, "undo", undoes=found["id"], subspace_ids=found["subspace_ids"], moves=orphans,
        artifact_ids=artifact_ids if found["kind"] in {"delete", "restore"} else (),
    )  # fmt: skip
    await _turn_topics_back(tx, found, logged, now)
    if found["kind"] in {"delete", "restore"}:
        shifts = await _turn_trash_back(tx, res, found, touched, now)
    else:
        back = await _places(tx, [row["artifact_id"] for row in moved])
        shifts = await place(tx, res, space_id, [*back, *orphans], touched, now)
    return replace(logged, shifts=shifts)


async def _orphans(tx: Tx, found: Row, moved: set[int]) -> list[Move]:
    """Pages that came later into a topic that goes: back to where it was split off, else into none."""
    orphans = list[Move]()
    for topic_id, source in _going(found).items():
        members = await (await tx.ask(RESHAPE.list_all_members, topic_id=topic_id)).fetchall()
        for one in members:
            by = AssignedBy(one["assigned_by"] or AssignedBy.ENGINE)
            if one["id"] not in moved:
                orphans.append(Move(one["id"], topic_id, source, None if source is None else by))
    return orphans


def _going(found: Row) -> dict[int, int | None]:
    """The topics that the correction made, and where each came from."""
    if found["kind"] == "split":
        source, new = sorted(found["subspace_ids"])
        return {new: source}
    return dict.fromkeys(found["payload"].get("born", []), None)


async def _places(tx: Tx, artifact_ids: Sequence[int]) -> list[Move]:
    """Where the log puts the artifacts, now that it says one correction less."""
    rows = await tx.ask(SQL.load_placements, artifact_ids=list(artifact_ids))
    found = await rows.fetchall()
    return [Move(row["artifact_id"], None, row["subspace_id"], row["assigned_by"]) for row in found]


async def _turn_topics_back(tx: Tx, found: Row, logged: Logged, now: datetime) -> None:
    """Topics that the correction closed open again; the one that a split made is gone."""
    kind, payload, topic_ids = found["kind"], found["payload"], found["subspace_ids"]
    opened = dict.fromkeys(payload.get("dissolved", []), "active")
    if kind == "merge":
        source, into = payload["from"], payload["into"]
        opened = {source: payload["state"]}
        await tx.ask(RESHAPE.unlink_markers, topic_id=into, marker_ids=payload["markers"])
    elif kind == "retire":
        opened = {topic_ids[0]: payload["state"]}
    for topic_id in _going(found):
        await tx.ask(TOPICS.set_topic_state, topic_id=topic_id, state="retired", deleted_at=now)
    for topic_id, state in opened.items():
        await tx.ask(TOPICS.set_topic_state, topic_id=topic_id, state=state, deleted_at=None)
        cause = {"correction_id": logged.id}
        await note(tx, found["space_id"], topic_id, "reopened", cause=cause, numbers={}, at=now)


async def _turn_trash_back(
    tx: Tx, res: Resources, found: Row, touched: set[int], now: datetime
) -> list[Shift]:
    """What was deleted comes back, what was restored goes again; who left the space stays away."""
    goes = found["kind"] == "restore"
    concerned = {"artifact_ids": found["artifact_ids"], "space_id": found["space_id"]}
    before = await _load(tx, found["artifact_ids"])
    await tx.ask(LIBRARY.set_trashed, concerned, deleted_at=now if goes else None)
    topics = await tx.ask(RESHAPE.list_space_topics, space_id=found["space_id"])
    touched |= await list_touched(tx, found["artifact_ids"])
    here = {row["id"] for row in await topics.fetchall()}
    shifts = await rebuild_topics(tx, res, touched & here, now)
    turned = [one for one in before if one["space_id"] == found["space_id"] and one["is_deleted"] is not goes]
    event: EventType = "artifact.deleted" if goes else "artifact.restored"
    await emit_all(tx, event, [told(one, cause="undo") for one in turned])
    return shifts


async def _load(tx: Tx, artifact_ids: Sequence[int]) -> list[Row]:
    """The artifacts as they are, those that have been purged left out."""
    rows = await tx.ask(LIBRARY.load_artifacts_for_update, artifact_ids=list(artifact_ids))
    return await rows.fetchall()


async def _move_back(tx: Tx, res: Resources, found: Row, entries: Sequence[Row], now: datetime) -> Logged:
    """Out of the space they were moved to, unless they were read there since, or their old place is taken."""
    artifact_ids, payload = found["artifact_ids"], found["payload"]
    asked = {"artifact_ids": artifact_ids, "space_id": payload["to_space"]}
    last_id = max(entry["id"] for entry in entries)
    later = await tx.ask(SQL.has_later_entries, asked, correction_id=last_id)
    same = await tx.ask(SQL.has_same_page, asked, old_space_id=payload["from_space"])
    if await later.fetchone() is not None:
        raise conflict("It has been read or moved since: move it to where it belongs instead.")
    if await same.fetchone() is not None:
        raise conflict("The other space has captured this address meanwhile: delete that artifact first.")
    touched = await list_touched(tx, artifact_ids)
    logs = {
        entry["space_id"]: await log_correction(
            tx, entry["space_id"], "undo", undoes=entry["id"], artifact_ids=artifact_ids
        )
        for entry in entries
    }
    home = logs[payload["from_space"]]
    await tx.ask(
        SQL.rehouse_artifacts, artifact_ids=artifact_ids, space_id=payload["from_space"], seq=home.seq
    )
    moves = await _places(tx, artifact_ids)
    return replace(home, shifts=await place(tx, res, payload["from_space"], moves, touched, now))

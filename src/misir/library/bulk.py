"""One correction of many artifacts at once: moved, assigned, deleted or restored, all of them or none."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from misir.errors import conflict, not_found, unavailable
from misir.library.correct import MAX_RACES
from misir.library.moving import Row, by_space, move_artifacts, set_deleted, told
from misir.library.schemas import Bulk, BulkDone
from misir.library.views import SQL
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import Logged, lock_spaces
from misir.spaces.shifts import changes_of
from misir.webhooks.outbox import emit_all

DONE = {"move": "Moved", "assign": "Placed", "delete": "Deleted", "restore": "Restored"}


async def change_artifacts(res: Resources, user_id: uuid.UUID, asked: Bulk, now: datetime) -> BulkDone:
    """Do it, in one transaction; safe to repeat: what is as wished already stays, and is named.

        find the artifacts → lock their spaces (and the other one), in id order → as they are now → correct

    Takes lock_spaces_for_update. 404 an unknown artifact, space or topic; 409 an archived space, a retired
    topic, artifacts in another space than the topic, an address that the other space holds already.
    """
    ids = sorted(set(asked.artifact_ids))
    for _ in range(MAX_RACES):
        async with res.database.as_user(user_id) as tx:
            artifacts = await _lock(tx, ids, asked.space_id)
            if artifacts is None:
                continue
            concerned = [one for one in artifacts if not _is_as_wished(one, asked)]
            logged = await _act(tx, res, concerned, asked, now) if concerned else []
        res.wake_worker()
        return _done(ids, concerned, logged, asked)
    raise unavailable(
        "These artifacts are being changed by others at this moment: try again.", retry_after_s=1
    )


async def _lock(tx: Tx, ids: list[int], other_space: int | None) -> list[Row] | None:
    """The artifacts as they are under their spaces' locks; None when one changed its space meanwhile."""
    found = await (await tx.ask(SQL.find_artifacts, artifact_ids=ids)).fetchall()
    if len(found) < len(ids):
        raise not_found("An artifact")
    await lock_spaces(tx, [*{row["space_id"] for row in found}, other_space])
    rows = await (await tx.ask(SQL.load_artifacts_for_update, artifact_ids=ids)).fetchall()
    before = {row["id"]: row["space_id"] for row in found}
    return list(rows) if before == {row["id"]: row["space_id"] for row in rows} else None


def _is_as_wished(artifact: Row, asked: Bulk) -> bool:
    if asked.action in {"delete", "restore"}:
        return bool(artifact["is_deleted"] == (asked.action == "delete"))
    if artifact["is_deleted"]:
        return False
    is_placed: bool = artifact["subspace_id"] == asked.subspace_id and artifact["assigned_by"] == "user"
    if asked.action == "assign":
        return is_placed
    is_there = artifact["space_id"] == asked.space_id
    return is_there and (is_placed or "subspace_id" not in asked.model_fields_set)


async def _act(tx: Tx, res: Resources, artifacts: Sequence[Row], asked: Bulk, now: datetime) -> list[Logged]:
    if asked.action in {"delete", "restore"}:
        is_deleted = asked.action == "delete"
        return [
            await set_deleted(tx, res, space, group, now, is_deleted=is_deleted)
            for space, group in by_space(artifacts)
        ]
    if any(one["is_deleted"] for one in artifacts):
        raise not_found("An artifact")
    if asked.space_id is not None:
        is_named = "subspace_id" in asked.model_fields_set
        where = (asked.space_id, asked.subspace_id)
        logged = await move_artifacts(tx, res, artifacts, *where, now, is_named=is_named)
    else:
        logged = await _assign(tx, res, artifacts, asked.subspace_id, now)
    await _tell(tx, [one["id"] for one in artifacts])
    return logged


async def _tell(tx: Tx, ids: Sequence[int]) -> None:
    """Who listens hears where each artifact is now."""
    rows = await (await tx.ask(SQL.load_artifacts_for_update, artifact_ids=list(ids))).fetchall()
    await emit_all(tx, "artifact.updated", [told(row, cause="correction") for row in rows])


async def _assign(
    tx: Tx, res: Resources, artifacts: Sequence[Row], topic_id: int | None, now: datetime
) -> list[Logged]:
    """Each in its own space: into the topic, which must be there, or out of all topics."""
    groups = by_space(artifacts)
    if topic_id is not None and len(groups) > 1:
        raise conflict("The artifacts are in several spaces, the topic is in one: use the action move.")
    return [
        logged
        for space, group in groups
        for logged in await move_artifacts(tx, res, group, space, topic_id, now, is_named=True)
    ]


def _done(ids: Sequence[int], concerned: Sequence[Row], logged: Sequence[Logged], asked: Bulk) -> BulkDone:
    changed = {one["id"] for one in concerned}
    n = len(changed)
    return BulkDone(
        action=asked.action,
        count=n,
        changed_ids=sorted(changed),
        unchanged_ids=[one for one in ids if one not in changed],
        correction_ids=[one.id for one in logged],
        topics=changes_of(logged),
        message=f"{DONE[asked.action]}: {n} artifact{'' if n == 1 else 's'}.",
    )

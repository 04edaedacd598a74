"""The life of a space as a whole: described anew, archived, thrown away, taken back, purged."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from pgvector import HalfVector

from misir.errors import conflict, not_found
from misir.jobs.queue import enqueue
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.create import embed_phrases
from misir.spaces.schemas import SpacePatch
from misir.webhooks.outbox import emit

SQL = load_statements("misir.spaces", "spaces_write.sql")

TRASH: Final = timedelta(days=30)
"""How long a deleted space can be restored; then the worker purges it (jobs/retention.py)."""

Row = dict[str, Any]


async def patch_space(
    res: Resources, user_id: uuid.UUID, space_id: int, patch: SpacePatch, now: datetime
) -> None:
    """Change what a person says of a space, or archive it.

        embed the intention, where one is sent      no lock, no connection held
        ONE transaction: lock the space, write

    Takes lock_whole_space_for_update. 404 unknown or deleted space; 409 an archived one that stays so; 503 no
    model (for an intention) or no database.
    """
    await _require_live(res, user_id, space_id)
    vectors = await embed_phrases(res, [patch.intention] if patch.intention else [])
    async with res.database.as_user(user_id) as tx:
        space = await _lock(tx, space_id)
        if space["archived_at"] is not None and patch.archived is not False and patch.is_more_than_archiving:
            raise conflict("The space is archived and so read-only: unarchive it to change it.")
        values = patch.model_dump(exclude={"user_id"}) | {"now": now, "space_id": space_id}
        vector = None if patch.intention is None else HalfVector(vectors.of(patch.intention))
        await tx.ask(
            SQL.patch_space,
            values,
            has_description="description" in patch.model_fields_set,
            has_intention="intention" in patch.model_fields_set,
            intention_embedding=vector,
            intention_model=None if vector is None else res.embedder.fingerprint,
        )
        await emit(tx, "space.updated", {"space_id": space_id, "name": patch.name or space["name"]})
    res.wake_worker()


async def _require_live(res: Resources, user_id: uuid.UUID, space_id: int) -> None:
    async with res.database.as_user(user_id) as tx:
        await _lock(tx, space_id)


async def _lock(tx: Tx, space_id: int, *, may_be_deleted: bool = False) -> Row:
    """The space under its lock. Takes lock_whole_space_for_update. 404 unknown or, usually, deleted."""
    row = await (await tx.ask(SQL.lock_whole_space_for_update, space_id=space_id)).fetchone()
    if row is None or (row["deleted_at"] is not None and not may_be_deleted):
        raise not_found("The space")
    return row


async def delete_space(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> None:
    """Into the trash, for 30 days; then the worker purges it. 404 when it is there already."""
    async with res.database.as_user(user_id) as tx:
        space = await _lock(tx, space_id)
        await tx.ask(SQL.trash_space, space_id=space_id, now=now)
        await emit(tx, "space.deleted", {"space_id": space_id, "name": space["name"], "purged": False})
    res.wake_worker()


async def restore_space(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> None:
    """Out of the trash, as it was. Restoring what is live changes nothing. 404 unknown, or 30 days over."""
    async with res.database.as_user(user_id) as tx:
        space = await _lock(tx, space_id, may_be_deleted=True)
        if space["deleted_at"] is None:
            return
        if now - space["deleted_at"] >= TRASH:
            raise not_found("The space")
        await tx.ask(SQL.untrash_space, space_id=space_id)
        await enqueue(tx, space_id, now)
        await emit(tx, "space.updated", {"space_id": space_id, "name": space["name"], "restored": True})
    res.wake_worker()


async def purge_space(res: Resources, user_id: uuid.UUID, space_id: int) -> None:
    """For good, with everything in it; live or in the trash. One transaction, however long it takes.

    What has left the space stays exact where it is: signals of pages that moved away lose their space, and
    count from the page's arrival, as before (the view `lesson`).
    """
    async with res.database.as_user(user_id, patience_s=None) as tx:
        space = await _lock(tx, space_id, may_be_deleted=True)
        await tx.ask(SQL.purge_space, space_id=space_id)
        await emit(tx, "space.deleted", {"space_id": space_id, "name": space["name"], "purged": True})
    res.wake_worker()

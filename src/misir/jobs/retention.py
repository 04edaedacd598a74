"""What is kept for a time only: the deployment's daily sweep, and what one user does not want to keep.

Every step is bounded, in a transaction of its own, and safe to repeat.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import list_touched, log_correction
from misir.spaces.keep import TRASH
from misir.spaces.rebuild import rebuild_topics
from misir.webhooks.outbox import emit_all

SQL = load_statements("misir.jobs", "retention.sql")

KEYS_FOR: Final = timedelta(hours=24)
EVENTS_FOR: Final = timedelta(days=30)
SWEEP_EVERY: Final = timedelta(hours=1)
RETAIN_EVERY: Final = timedelta(days=1)

N_KEYS: Final = 1_000
N_EVENTS: Final = 500
N_ARTIFACTS: Final = 100
N_SPACES: Final = 10
N_OUTLIVED: Final = 200


async def sweep(res: Resources, now: datetime) -> datetime:
    """Keys after 24 hours, events and trash after 30 days; a job for whoever keeps for a time only."""
    steps = (
        (SQL.forget_idempotency_keys, now - KEYS_FOR, N_KEYS),
        (SQL.forget_events, now - EVENTS_FOR, N_EVENTS),
        (SQL.purge_trashed_artifacts, now - TRASH, N_ARTIFACTS),
        (SQL.purge_trashed_spaces, now - TRASH, N_SPACES),
    )
    for statement, before, limit in steps:
        while await _forget(res, statement, before, limit):
            pass
    async with res.database.as_service() as tx:
        await tx.ask(SQL.leave_retention, now=now)
    return now + SWEEP_EVERY


async def _forget(res: Resources, statement: bytes, before: datetime, limit: int) -> bool:
    """One portion. Was there any?"""
    async with res.database.as_service() as tx:
        done = await tx.ask(statement, before=before, limit=limit)
        return done.rowcount > 0


async def retain(res: Resources, user_id: uuid.UUID, now: datetime) -> datetime | None:
    """Trash what the user has not read for `retention_days`, where `retention_enabled` is true.

    The trash keeps it for another 30 days. Topics forget it, as with every deletion. None: kept for ever now.
    """
    async with res.database.as_service(user_id) as tx:
        row = await (await tx.ask(SQL.read_retention)).fetchone()
    if row is None:
        return None
    before = now - timedelta(days=row["days"])
    while await _trash_some(res, user_id, before, now):
        pass
    return now + RETAIN_EVERY


async def _trash_some(res: Resources, user_id: uuid.UUID, before: datetime, now: datetime) -> bool:
    """A portion of one space, in one transaction. Takes lock_spaces_for_update. False: nothing is left."""
    async with res.database.as_service(user_id) as tx:
        found = await (await tx.ask(SQL.find_outlived, before=before)).fetchone()
        if found is None:
            return False
        await _trash_in(tx, res, found["space_id"], before, now)
        return True


async def _trash_in(tx: Tx, res: Resources, space_id: int, before: datetime, now: datetime) -> None:
    """One correction names them all; it can be undone like any deletion."""
    if not await (await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])).fetchall():
        return
    asked = {"space_id": space_id, "before": before, "limit": N_OUTLIVED}
    ids = [row["id"] for row in await (await tx.ask(SQL.list_outlived, asked)).fetchall()]
    touched = await list_touched(tx, ids)
    await tx.ask(SQL.trash_outlived, artifact_ids=ids, now=now)
    await log_correction(
        tx, space_id, "delete", actor="engine", artifact_ids=ids, subspace_ids=sorted(touched)
    )
    await rebuild_topics(tx, res, touched, now)
    cause = {"space_id": space_id, "cause": "retention"}
    await emit_all(tx, "artifact.deleted", [{"artifact_id": one, **cause} for one in ids])

"""Taking an import back: what it brought goes into the trash, and topics forget it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from misir.imports.run import Run, set_state
from misir.imports.source import SQL
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import list_touched, log_correction
from misir.spaces.rebuild import rebuild_topics
from misir.webhooks.outbox import emit_all

N_AT_ONCE: Final = 200
RUN_FOR_S: Final = 20.0
PATIENCE_S: Final = 120.0
"""A portion's topics learn again from all of their signals."""


async def undo(res: Resources, run: Run, now: datetime) -> None:
    """In portions; what somebody has read or placed since then stays."""
    started = time.monotonic()
    while time.monotonic() - started < RUN_FOR_S:
        if not await _trash_some(res, run, now):
            await set_state(res, run, "undone", now)
            return


async def _trash_some(res: Resources, run: Run, now: datetime) -> bool:
    """One space's portion in one transaction. Takes lock_spaces_for_update. False: nothing is left."""
    async with res.database.as_user(run.user_id, patience_s=PATIENCE_S) as tx:
        found = await _list(tx, run)
        if not found:
            return False
        space_id = found[0][1]
        await (await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])).fetchall()
        ids = [artifact_id for artifact_id, of_space in await _list(tx, run) if of_space == space_id]
        if ids:
            await _trash(tx, res, run, space_id, ids, now)
        return True


async def _list(tx: Tx, run: Run) -> list[tuple[int, int]]:
    rows = await (await tx.ask(SQL.list_undoable, import_id=run.id, limit=N_AT_ONCE)).fetchall()
    return [(row["id"], row["space_id"]) for row in rows]


async def _trash(tx: Tx, res: Resources, run: Run, space_id: int, ids: list[int], now: datetime) -> None:
    """One correction names them all; it can be undone like any deletion."""
    touched = await list_touched(tx, ids)
    await tx.ask(SQL.trash, artifact_ids=ids, now=now)
    await log_correction(tx, space_id, "delete", artifact_ids=ids, subspace_ids=sorted(touched))
    await rebuild_topics(tx, res, touched, now)
    await tx.ask(SQL.count_undone, import_id=run.id, count=len(ids))
    cause = {"space_id": space_id, "cause": "import undone"}
    await emit_all(tx, "artifact.deleted", [{"artifact_id": one, **cause} for one in ids])

"""How far topics turned in weeks that are over, which does not change any more: kept by the worker.

What a series of pictures says of a week is the chord between the direction a topic had at its end and the one
it had before. Reading two vectors for each week of each topic is most of what such a series costs.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Json

from misir.analytics.series import SQL as SERIES
from misir.analytics.series import chords_of
from misir.capture.ground import SQL as CAPTURE
from misir.orient.pace import Granularity
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.analytics", "turns.sql")

N_WEEKS: Final = 104
"""As many as are kept of each topic: a series has at most a hundred."""


async def keep_turns(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> None:
    """Settle the weeks before this one. Takes lock_space_for_update, which whoever draws a picture holds."""
    today = now.astimezone(UTC).date()
    before = today - timedelta(days=today.weekday())
    first = before - timedelta(weeks=N_WEEKS)
    asked: dict[str, Any] = {"space_id": space_id, "before": before}
    async with res.database.as_service(user_id) as tx:
        if not await (await tx.ask(SQL.list_unsettled, asked)).fetchall():
            return
        await tx.ask(CAPTURE.lock_space_for_update, asked)
        asked |= {"granularity": Granularity.WEEK.value, "first": first, "last": before - timedelta(days=1)}
        rows = await (await tx.ask(SERIES.list_turns, asked, uses_kept=False)).fetchall()
        weeks = [first + timedelta(weeks=number) for number in range(N_WEEKS)]
        turns = [{"subspace_id": row["subspace_id"], "chords": chords_of(row, weeks)} for row in rows]
        await tx.ask(SQL.upsert_turns, asked, turns=Json(turns))

"""How far topics turned in weeks that are over, which does not change any more: kept by the worker.

What a series of pictures says of a week is the chord between the direction a topic had at its end and the one
it had before. Reading two vectors for each week of each topic is most of what such a series costs.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Json

from misir.analytics.series import SQL as SERIES
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
        turns = [{"subspace_id": row["subspace_id"], "chords": settled(_chords(row), first)} for row in rows]
        await tx.ask(SQL.upsert_turns, asked, turns=Json(turns))


def _chords(row: Mapping[str, Any]) -> dict[date, float | None]:
    return dict(zip(row["starts"], row["chords"], strict=True))


def settled(chords: Mapping[date, float | None], first: date) -> list[float | None]:
    """PURE: the chords of N_WEEKS weeks from `first` on; 0 in a week without a picture, None at the start.

    >>> settled({date(2026, 1, 5): None, date(2026, 1, 19): 0.5}, date(2025, 12, 29))[:5]
    [None, None, 0.0, 0.5, 0.0]
    """
    begun = min(chords)
    weeks = (first + timedelta(weeks=number) for number in range(N_WEEKS))
    return [chords.get(week, 0.0) if week > begun else None for week in weeks]

"""What the pages of each topic weigh together, without weighing each of them for every look.

A page's weight decays exponentially, at one of three rates, so that the sum over the pages of one rate decays
like each of them: kept as of one moment, it is right at any later one. The database forgets a sum in the
transaction that changes one of its pages; the worker computes it again. Until then its pages are weighed.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

from misir.analytics.readings import weight_numbers
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.analytics", "sums.sql")

SOME: Final = 8
"""If more than one page in so many is in a sum that was forgotten, all of them are weighed in one pass."""

Row = dict[str, Any]


async def weigh(tx: Tx, asked: dict[str, Any]) -> list[Row]:
    """A row for each topic with pages, and for what is in none: how many, their weight, and the recent ones.

    `asked`: at, as_of, recent_since, numbers, space_id or None for all. The past is weighed page by page.
    """
    kept = await _from_sums(tx, asked) if asked["as_of"] is None else None
    return await weigh_all(tx, asked) if kept is None else kept


async def weigh_all(tx: Tx, asked: dict[str, Any]) -> list[Row]:
    """The same from every page."""
    return await (await tx.ask(SQL.weigh_topics, asked)).fetchall()


async def _from_sums(tx: Tx, asked: dict[str, Any]) -> list[Row] | None:
    """The same from what is kept, and the pages of what is not; None where too little is kept to help."""
    rows = await (await tx.ask(SQL.list_sums, asked)).fetchall()
    changed = [row for row in rows if not row["is_kept"]]
    if SOME * sum(row["artifact_count"] for row in changed) > sum(row["artifact_count"] for row in rows):
        return None
    kept = [row for row in rows if row["is_kept"] and row["artifact_count"]]
    if changed:
        topics = {name: [row[name] for row in changed] for name in ("space_id", "subspace_id")}
        asked = asked | {"space_ids": topics["space_id"], "subspace_ids": topics["subspace_id"]}
        weighed = {_topic(row): row for row in await (await tx.ask(SQL.weigh_some, asked)).fetchall()}
        kept += [row | weighed[_topic(row)] for row in changed if _topic(row) in weighed]
    return kept


def _topic(row: Row) -> tuple[int, int | None]:
    return row["space_id"], row["subspace_id"]


async def keep_sums(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> None:
    """Compute again what was forgotten of a space. Takes lock_sums_for_update; safe to repeat."""
    asked = {
        "space_id": space_id,
        "at": now,
        "numbers": weight_numbers(res.config, res.embedder.calibration),
    }
    async with res.database.as_service(user_id) as tx:
        rows = await (await tx.ask(SQL.lock_sums_for_update, asked)).fetchall()
        if rows:
            groups = {f"{name}s": [row[name] for row in rows] for name in ("id", "space_id", "subspace_id")}
            await tx.ask(SQL.keep_sums, asked, **groups)

"""The history of a topic: how it stood day by day, how fast it turned, and where it drifted."""

from __future__ import annotations

import asyncio
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np

from misir.errors import not_found
from misir.orient.confidence import has_enough_data
from misir.orient.config import EngineConfig
from misir.orient.pace import angular_speed
from misir.orient.vectors import cosines
from misir.resources import Resources
from misir.spaces.topic_schemas import Drift, History, Snapshot, TriggerArtifact
from misir.spaces.topic_views import SQL

MAX_SHOWN: Final = 400
"""Most snapshots, and most drift events, in one answer."""


async def get_history(
    res: Resources, user_id: uuid.UUID, topic_id: int, from_at: datetime | None, to_at: datetime | None
) -> History:
    """The newest 400 days and drift events between `from_at` and `to_at`, oldest first."""
    from_day = None if from_at is None else from_at.date()
    week = res.config.angular_speed_days
    asked = {"topic_id": topic_id, "from_at": from_at, "from_day": from_day, "to_at": to_at, "week": week}
    async with res.database.as_user(user_id) as tx:
        found = await tx.ask(SQL.topic_exists, asked)
        days = await tx.ask(SQL.list_snapshots, asked, limit=MAX_SHOWN + week + 1)  # one a day at most
        drifts = await tx.ask(SQL.list_topic_drift, asked, limit=MAX_SHOWN)
        if await found.fetchone() is None:
            raise not_found("The subspace")
        rows, drifted = (await days.fetchall())[::-1], (await drifts.fetchall())[::-1]
    # A year of days is tens of milliseconds of arithmetic: not on the thread that answers everybody.
    snapshots = await asyncio.to_thread(compare_days, rows, from_day or date.min, res.config)
    return History(
        subspace_id=topic_id, snapshots=snapshots, drift_events=[read_drift(row) for row in drifted]
    )


def compare_days(rows: Sequence[dict[str, Any]], from_day: date, config: EngineConfig) -> list[Snapshot]:
    """PURE: the newest MAX_SHOWN snapshots since `from_day`, each against the first and a week before.

    `rows` of list_snapshots, oldest first. A topic stays as its last snapshot left it, so a week before a day
    it stood as the latest snapshot at least that old says. Vectors of two models have nothing to say to each
    other: null.
    """
    days, week = [row["day"] for row in rows], config.angular_speed_days
    first = max(bisect_left(days, from_day), len(rows) - MAX_SHOWN)
    vectors = [row["centroid"].to_numpy() for row in rows]
    drifts = _drifts_from(rows, vectors, first) if first < len(rows) else {}
    shown = []
    for index in range(first, len(rows)):
        row, before = rows[index], bisect_right(days, days[index] - timedelta(days=week)) - 1
        is_like_before = before >= 0 and rows[before]["model"] == row["model"]
        shown.append(
            Snapshot(
                **row,
                enough_data=has_enough_data(row["artifact_count"], config),
                drift_from_first=drifts.get(index),
                angular_speed=angular_speed(vectors[before], vectors[index], week)
                if is_like_before
                else None,
            )
        )
    return shown


def _drifts_from(rows: Sequence[dict[str, Any]], vectors: Sequence[Any], first: int) -> dict[int, float]:
    """1 − cos to the first day, of every day under its model; those of another may not even be as long."""
    alike = [index for index, row in enumerate(rows) if row["model"] == rows[first]["model"]]
    drifts = 1.0 - cosines(vectors[first], np.stack([vectors[index] for index in alike]))
    return dict(zip(alike, drifts.tolist(), strict=True))


def read_drift(row: dict[str, Any]) -> Drift:
    """From a row of list_topic_drift, or of another statement with its columns."""
    page_id = row["artifact_id"]
    page = None if page_id is None else TriggerArtifact(id=page_id, title=row["title"], url=row["url"])
    return Drift(**row, trigger_artifact=page)

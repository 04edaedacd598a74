"""The map of a space: what the worker drew (spaces/map.py), with each topic's figures, and its past."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from misir.analytics.readings import activity_band
from misir.analytics.schemas import Band, Frame, Node, Place, Topology, TopologyMetadata
from misir.analytics.views import PLANS, load_space
from misir.orient.config import EngineConfig
from misir.orient.pace import DAYS_PER_WEEK
from misir.paging import CAP
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.analytics", "topology.sql")

WINDOW_DAYS: Final = 90
N_FRAMES: Final = 12

COLUMNS: Final = ("subspace_ids", "names", "counts", "confidences", "xs", "ys", "changed_on")
"""The arrays of list_frames, in the order in which a node is made of them."""

Row = dict[str, Any]
Recent = Mapping[int, Mapping[int, int]]
"""Distinct artifacts of the last seven days, by frame from 1 on and topic."""


async def get_topology(
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    *,
    now: datetime,
    as_of: datetime | None = None,
    with_artifacts: bool = False,
) -> Topology:
    """Nodes, and the frames of the last 90 days that lead to them. Raises MisirError 404."""
    at = as_of or now
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        layout = await (await tx.ask(SQL.load_layout, space_id=space_id)).fetchone() or {}
        today = await (await tx.ask(SQL.list_nodes, space_id=space_id, limit=CAP)).fetchall()
        days = frame_days(
            layout["first_day"], at.astimezone(UTC).date(), len(today), is_past=as_of is not None
        )
        moments = [min(end_of(day), at) for day in days]
        moments += [] if as_of else [at]
        since = moments[0] - timedelta(days=DAYS_PER_WEEK)
        recent = await tx.ask(SQL.count_recent, space_id=space_id, moments=moments, since=since)
        past = await tx.ask(SQL.list_frames, space_id=space_id, days=days, limit=2 * CAP)
        places = await tx.ask(SQL.list_places, space_id=space_id) if with_artifacts else None
        counts = {
            row["place"]: dict(zip(row["subspace_ids"], row["counts"], strict=True))
            for row in await recent.fetchall()
        }
        frames = _past_frames(await past.fetchall(), days, moments, counts, res.config)
        if not as_of:
            nodes = _nodes_of_today(today, counts.get(len(moments), {}), res.config)
            frames.append(Frame(timestamp=at, nodes=nodes))
        artifacts = None if places is None else [Place(**row) for row in await places.fetchall()]
    return Topology(
        nodes=frames[-1].nodes,
        history=frames,
        artifacts=artifacts,
        metadata=TopologyMetadata(
            last_updated=layout["computed_at"],
            sampling_window_start=frames[0].timestamp,
            sampling_window_end=at,
            stress=layout["stress"],
        ),
    )


def frame_days(first: date | None, last: date, n_topics: int, *, is_past: bool) -> list[date]:
    """PURE: evenly spaced days of the window, oldest first; `last` itself only for a map of the past.

    Frames are fewer where there are very many topics: no map has more than 5,000 nodes.

    >>> frame_days(date(2026, 1, 1), date(2026, 1, 4), 3, is_past=False)
    [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), datetime.date(2026, 1, 3)]
    >>> [frame_days(None, date(2026, 1, 4), 0, is_past=is_past) for is_past in (False, True)]
    [[], [datetime.date(2026, 1, 4)]]
    """
    begin = min(max(first or last, last - timedelta(days=WINDOW_DAYS)), last)
    n = max(2, min(N_FRAMES, CAP // max(n_topics, 1)))
    span = (last - begin).days
    days = sorted({begin + timedelta(days=round(span * step / (n - 1))) for step in range(n)})
    return days if is_past else [day for day in days if day < last]


def end_of(day: date) -> datetime:
    """Snapshots are of days in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _past_frames(
    rows: Sequence[Row],
    days: Sequence[date],
    moments: Sequence[datetime],
    recent: Recent,
    config: EngineConfig,
) -> list[Frame]:
    """One of each day, of one without topics too."""
    by_day = {row["frame"]: row for row in rows}
    return [
        Frame(
            timestamp=moments[number],
            nodes=_past_nodes(by_day[day], moments[number], recent.get(number + 1, {}), config)
            if day in by_day
            else [],
        )
        for number, day in enumerate(days)
    ]


def _past_nodes(frame: Row, moment: datetime, recent: Mapping[int, int], config: EngineConfig) -> list[Node]:
    """A topic's snapshot knows the day on which it changed last: that is when it was active."""
    changed = {day: min(datetime.combine(day, time(), UTC), moment) for day in set(frame["changed_on"])}
    columns, bands = (frame[name] for name in COLUMNS), _bands(recent, config)
    return [
        Node(
            topic,
            name,
            n,
            confidence,
            *_place(x, y),
            changed[day],
            changed[day],
            (n_recent := recent.get(topic, 0)),
            bands[n_recent],
        )
        for topic, name, n, confidence, x, y, day in zip(*columns, strict=True)
    ]


def _nodes_of_today(rows: Sequence[Row], recent: Mapping[int, int], config: EngineConfig) -> list[Node]:
    bands = _bands(recent, config)
    return [
        Node(
            row["subspace_id"],
            row["name"],
            row["artifact_count"],
            row["confidence"],
            *_place(row["x"], row["y"]),
            row["updated_at"],
            row["last_active_at"],
            (n_recent := recent.get(row["subspace_id"], 0)),
            bands[n_recent],
        )
        for row in rows
    ]


def _place(x: float | None, y: float | None) -> tuple[float, float, bool]:
    """In the middle while the map has no place for it."""
    return (0.0, 0.0, False) if x is None or y is None else (x, y, True)


def _bands(recent: Mapping[int, int], config: EngineConfig) -> dict[int, Band]:
    """The band of each number of recent artifacts there is: far fewer than topics."""
    return {n: activity_band(n, DAYS_PER_WEEK, config) for n in {0, *recent.values()}}

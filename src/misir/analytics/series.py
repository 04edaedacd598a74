"""The topics of a space over time: drift, pace, confidence. A fixed number of statements each."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from misir.analytics.readings import start_of_day
from misir.analytics.schemas import ConfidencePoint, DriftPoint, VelocityPoint
from misir.analytics.views import PLANS, load_space, load_zone
from misir.analytics.views import SQL as SPACES
from misir.orient.confidence import has_enough_data
from misir.orient.config import EngineConfig
from misir.orient.pace import DAYS_PER_WEEK, Granularity, periods, speed_of_chord
from misir.paging import CAP
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.history import read_drift

SQL = load_statements("misir.analytics", "series.sql")

N_POINTS: Final = 50
"""Points of each topic, unless the client asks for another number."""

Row = dict[str, Any]


async def drift_series(
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    min_magnitude: float = 0.0,
    points: int = N_POINTS,
    as_of: datetime | None = None,
) -> list[DriftPoint]:
    """The drifts of all topics of a space, newest first. Raises MisirError 404."""
    asked = {"space_id": space_id, "from_at": from_at, "to_at": to_at, "as_of": as_of}
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        rows = await tx.ask(SQL.list_drifts, asked, min_magnitude=min_magnitude, points=points, limit=CAP)
        return [
            DriftPoint(**read_drift(row).model_dump(), subspace_name=row["subspace_name"])
            for row in await rows.fetchall()
        ]


async def confidence_series(
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    *,
    now: datetime,
    from_at: datetime | None = None,
    points: int = N_POINTS,
    as_of: datetime | None = None,
) -> list[ConfidencePoint]:
    """How confident each topic was, on the days on which it changed, newest first. Raises MisirError 404."""
    asked = {"space_id": space_id, "at": as_of or now, "from_at": from_at, "points": points, "limit": CAP}
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        rows = await (await tx.ask(SQL.list_confidences, asked)).fetchall()
    return [point for row in rows for point in _confidences(row, res.config)]


def _confidences(row: Row, config: EngineConfig) -> Iterator[ConfidencePoint]:
    """The points of one day."""
    computed_at = datetime.combine(row["day"], time(), UTC)
    topics = zip(row["subspace_ids"], row["names"], row["confidences"], row["counts"], strict=True)
    for topic, name, confidence, count in topics:
        yield ConfidencePoint(topic, name, confidence, count, has_enough_data(count, config), computed_at)


async def velocity_series(
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    *,
    now: datetime,
    granularity: Granularity = Granularity.WEEK,
    points: int = N_POINTS,
    as_of: datetime | None = None,
) -> list[VelocityPoint]:
    """Items per week of each topic, empty ones included, and how fast it turned. Raises MisirError 404.

    A space of very many topics gets fewer points of each, so that no answer is larger than 5,000.
    """
    at = as_of or now
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        zone = await load_zone(tx)
        asked: dict[str, Any] = {
            "space_id": space_id,
            "as_of": as_of,
            "granularity": granularity.value,
            "at": at,
        }
        topics = await (await tx.ask(SPACES.list_topics, asked, limit=CAP)).fetchall()
        if not topics:
            return []
        last = at.astimezone(zone).date()
        covered = _latest(last, granularity, max(1, min(points, CAP // len(topics))))
        days = [*covered]
        starts = [start_of_day(day, zone) for day in days]
        asked |= {"starts": starts, "since": starts[0], "first": days[0], "last": last}
        counts = await tx.ask(SQL.count_pace, asked)
        turns = await tx.ask(SQL.list_turns, asked, uses_kept=granularity is Granularity.WEEK)
        read = {row["subspace_id"]: _counts(row, len(days)) for row in await counts.fetchall()}
        turned = {row["subspace_id"]: _speeds(row, covered) for row in await turns.fetchall()}
    spans = [(n_days, _end(start, n_days, at, zone)) for start, n_days in covered.items()]
    return _velocities([(topic["id"], topic["name"]) for topic in topics], spans, read, turned)


def _velocities(
    topics: Sequence[tuple[int, str]],
    spans: Sequence[tuple[int, datetime]],
    read: Mapping[int, Sequence[int]],
    turned: Mapping[int, Sequence[float | None]],
) -> list[VelocityPoint]:
    """Every topic in every period, the newest first. `spans`: the days and the end of each, oldest first."""
    nothing, unknown = [0] * len(spans), [None] * len(spans)
    lines = [(*topic, read.get(topic[0], nothing), turned.get(topic[0], unknown)) for topic in topics]
    return [
        VelocityPoint(number, name, counts[place] * DAYS_PER_WEEK / days, counts[place], speeds[place], end)
        for place, (days, end) in reversed([*enumerate(spans)])
        for number, name, counts, speeds in lines
    ]


def _counts(row: Row, n_periods: int) -> list[int]:
    """Artifacts of a topic in each period; places are counted from 1."""
    found = [0] * n_periods
    for place, count in zip(row["places"], row["counts"], strict=True):
        found[place - 1] = count
    return found


def _latest(last: date, granularity: Granularity, n: int) -> dict[date, int]:
    """The n days, weeks or months up to `last`, oldest first: whole ones, but for the last."""
    longest = {Granularity.DAY: 1, Granularity.WEEK: 7, Granularity.MONTH: 31}[granularity]
    starts = periods(last - timedelta(days=longest * n), last, granularity)
    return dict(sorted(periods(sorted(starts)[-n], last, granularity).items()))


def _end(start: date, n_days: int, at: datetime, zone: ZoneInfo) -> datetime:
    """When a period ended: `at` at the latest."""
    return min(start_of_day(start + timedelta(days=n_days), zone).astimezone(UTC), at)


def _speeds(row: Row, covered: Mapping[date, int]) -> list[float | None]:
    """Degrees per day in each period: of the weeks that are settled, and of the periods after them."""
    settled = row["settled"] or []
    chords = [*settled, *chords_of(row, [*covered][len(settled) :])]
    return [
        None if chord is None else speed_of_chord(chord, days) if chord else 0.0
        for chord, days in zip(chords, covered.values(), strict=True)
    ]


def chords_of(row: Row, starts: Iterable[date]) -> list[float | None]:
    """PURE: how far a topic turned in each period, by its start, from what list_turns says of it.

    A topic that is seen before a period and not in it stood still: 0. Before it is seen there is nothing, and
    its first period has nothing to be compared with.

    >>> row = {"starts": [date(2026, 1, 5), date(2026, 1, 19)], "chords": [None, 0.5]}
    >>> chords_of(row, [date(2025, 12, 29), *(date(2026, 1, day) for day in (5, 12, 19, 26))])
    [None, None, 0.0, 0.5, 0.0]
    """
    chords = dict(zip(row["starts"], row["chords"], strict=True))
    begun = min(chords)
    return [chords.get(start, 0.0) if start > begun else None for start in starts]

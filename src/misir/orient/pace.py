"""Pace: how fast a topic turns, how much is read in it, and when it falls asleep (engine.md §5, §6).

Times are aware datetimes of reading (`occurred_at`), in any order. Where a day counts it is the day of the
time as given: convert to the person's time zone first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.vectors import norms, unit

DAYS_PER_WEEK = 7
ONE_DAY = timedelta(days=1)

Reading = tuple[datetime, Hashable]
"""When, and which artifact."""


class Granularity(StrEnum):
    """How long one point of a pace curve is; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Trend(StrEnum):
    """Where a pace is going."""

    UP = "up"
    DOWN = "down"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class PacePoint:
    """One day, week or month.

    start: its first day, even where the curve begins later.
    n_items: distinct artifacts read in it, ≥ 0.
    velocity: items per week, n_items · 7 / the days of it that the curve covers.
    """

    start: date
    n_items: int
    velocity: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Items per week: of the last 7 days, on average, and whether it rises or falls."""

    current: float
    average: float
    trend: Trend


def angular_speed(earlier: npt.ArrayLike, later: npt.ArrayLike, days: float) -> float:
    """Degrees per day between two centroids (D,): angle / days, days > 0; 0..180/days (engine.md §6).

    Lengths do not matter. angle = 2·atan2(‖u − v‖, ‖u + v‖) of the unit vectors, which stays exact for
    small angles where arccos does not (Kahan 2006, "How futile are mindless assessments of roundoff").
    No days, or a vector without direction, is a ValueError.

    >>> angular_speed([1.0, 0.0], [0.0, 2.0], 7.5)
    12.0
    """
    if days <= 0:
        raise ValueError("A speed needs a span of time: days must be above 0.")
    u, v = (unit(one).astype(np.float64) for one in (earlier, later))
    return math.degrees(2.0 * math.atan2(float(norms(u - v)), float(norms(u + v)))) / days


def speed_of_chord(chord: float, days: float) -> float:
    """`angular_speed` from the length ‖u − v‖ of the chord between two unit vectors, 0..2: degrees per day.

    angle = 2·asin(chord/2), as exact for small angles as the chord is. A chord that rounding made longer
    than 2 counts as 2.

    >>> round(speed_of_chord(2**0.5, 7.5), 9), speed_of_chord(0.0, 7)
    (12.0, 0.0)
    """
    return math.degrees(2.0 * math.asin(min(chord / 2.0, 1.0))) / days


def periods(first: date, last: date, granularity: Granularity) -> dict[date, int]:
    """The days, weeks or months from first to last, by their first day: how many of their days are covered.

    >>> periods(date(2026, 2, 27), date(2026, 3, 3), Granularity.MONTH)
    {datetime.date(2026, 2, 1): 2, datetime.date(2026, 3, 1): 3}
    """
    n_days: dict[date, int] = defaultdict(int)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        n_days[_start(date.fromordinal(ordinal), granularity)] += 1
    return dict(n_days)


def pace_points(
    readings: Iterable[Reading], first: date, last: date, granularity: Granularity
) -> tuple[PacePoint, ...]:
    """Distinct items and items per week of each day, week or month from first to last, both included.

    Oldest first; those without a reading are there with 0. Readings outside are left out. Two items in a
    leap February: 2 · 7/29 a week.

    >>> readings = [(datetime(2028, 2, 3), "a"), (datetime(2028, 2, 9), "b"), (datetime(2028, 2, 9), "a")]
    >>> points = pace_points(readings, date(2028, 2, 1), date(2028, 3, 7), Granularity.MONTH)
    >>> [(str(point.start), point.n_items, round(point.velocity, 3)) for point in points]
    [('2028-02-01', 2, 0.483), ('2028-03-01', 0, 0.0)]
    """
    items: dict[date, set[Hashable]] = defaultdict(set)
    for occurred_at, item in readings:
        if first <= occurred_at.date() <= last:
            items[_start(occurred_at.date(), granularity)].add(item)
    return tuple(
        PacePoint(start, len(items[start]), len(items[start]) * DAYS_PER_WEEK / days)
        for start, days in periods(first, last, granularity).items()
    )


def pace(readings: Iterable[Reading], since: datetime, now: datetime, config: EngineConfig) -> Pace:
    """Current, average and trend of distinct items per week, in weeks counted back from `now` (engine.md §6).

    current: the last 7 days. average: over all whole weeks since `since` (the topic's beginning, or as far
    back as the reader wants to look), at least one, those without a reading included. trend: `pace_trend`
    of the last two weeks.

    >>> readings = [(datetime(2026, 1, day), day) for day in (2, 9, 16, 17, 18, 19)]
    >>> pace(readings, datetime(2026, 1, 1), datetime(2026, 1, 22), EngineConfig())
    Pace(current=4.0, average=2.0, trend=<Trend.UP: 'up'>)
    """
    n_weeks = max(1, (now - since) // (ONE_DAY * DAYS_PER_WEEK))
    weeks: list[set[Hashable]] = [set() for _ in range(max(2, n_weeks))]
    for occurred_at, item in readings:
        weeks_ago = (now - occurred_at) // (ONE_DAY * DAYS_PER_WEEK)
        if 0 <= weeks_ago < len(weeks):
            weeks[weeks_ago].add(item)
    counts = [len(week) for week in weeks]
    return Pace(float(counts[0]), fmean(counts[:n_weeks]), pace_trend(counts[1], counts[0], config))


def pace_trend(n_before: int, n_after: int, config: EngineConfig) -> Trend:
    """Up or down where two equal windows' counts differ by more than √(their sum), else flat.

    That is one standard deviation of the difference of two Poisson counts (Przyborowski and Wilenski
    1940): one item more is no trend.

    >>> [pace_trend(before, after, EngineConfig()).value for before, after in ((0, 1), (0, 2), (9, 4))]
    ['flat', 'up', 'down']
    """
    difference = n_after - n_before
    if abs(difference) <= config.trend_min_deviations * math.sqrt(n_before + n_after):
        return Trend.FLAT
    return Trend.UP if difference > 0 else Trend.DOWN


def usual_interval(times: Iterable[datetime]) -> float | None:
    """Days that usually pass between two days of reading: the median gap, ≥ 1; None before there is one.

    The median, so that one long holiday does not make a habit (Tukey 1977).

    >>> usual_interval([datetime(2026, 1, 1, 9), datetime(2026, 1, 1, 10), datetime(2026, 1, 8)])
    7.0
    """
    days = sorted({time.date().toordinal() for time in times})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    return float(median(gaps)) if gaps else None


def falls_asleep(
    last_activity_at: datetime, interval: float | None, now: datetime, config: EngineConfig
) -> bool:
    """Has the topic been silent for 3 × its usual interval in days, and at least 30 days (engine.md §5)?

    Without a usual interval 30 days decide.

    >>> read, config = datetime(2026, 1, 1), EngineConfig()
    >>> falls_asleep(read, 7.0, datetime(2026, 1, 31), config)
    True
    >>> falls_asleep(read, 20.0, datetime(2026, 2, 28), config), falls_asleep(read, None, read, config)
    (False, False)
    """
    patience = max(config.sleep_min_days, config.sleep_intervals * (interval or 0.0))
    return (now - last_activity_at) / ONE_DAY >= patience


def _start(day: date, granularity: Granularity) -> date:
    if granularity is Granularity.MONTH:
        return day.replace(day=1)
    return day - ONE_DAY * day.weekday() if granularity is Granularity.WEEK else day

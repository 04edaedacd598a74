import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.config import EngineConfig
from misir.orient.pace import (
    Granularity,
    Trend,
    angular_speed,
    falls_asleep,
    pace,
    pace_points,
    pace_trend,
    usual_interval,
)
from misir.orient.vectors import Vector, cosines, unit

CONFIG = EngineConfig()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
steady = settings(deadline=None, derandomize=True)
vectors = arrays(np.float32, 4, elements=st.floats(-1, 1, width=32)).filter(lambda v: np.linalg.norm(v) > 0.1)
times = st.datetimes(datetime(2025, 12, 1), datetime(2026, 3, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants naive bounds)
readings = st.lists(st.tuples(times, st.integers(0, 9)), max_size=40)


@steady
@given(vectors, vectors, st.floats(0.1, 100))
def test_angular_speed_is_the_angle_over_the_days(a: Vector, b: Vector, days: float) -> None:
    speed = angular_speed(a, b, days)
    assert 0 <= speed <= 180 / days + 1e-9
    assert speed == pytest.approx(angular_speed(b, a, days))
    assert speed == pytest.approx(angular_speed(3 * a, b, days), abs=1e-3 / days)
    assert math.cos(math.radians(speed * days)) == pytest.approx(float(cosines(a, b[None])[0]), abs=1e-5)


def test_a_tiny_turn_is_not_lost() -> None:
    a, b = unit([1.0, 0.0]), unit([1.0, 1e-4])
    assert angular_speed(a, b, 1) == pytest.approx(math.degrees(1e-4), rel=1e-3)
    assert angular_speed(a, a, 1) == 0
    assert angular_speed(a, -a, 1) == pytest.approx(180)


@pytest.mark.parametrize(
    ("later", "days", "message"), [([0.0, 1.0], 0, "span of time"), ([0.0, 0.0], 1, "no direction")]
)
def test_a_speed_needs_time_and_directions(later: list[float], days: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        angular_speed([1.0, 0.0], later, days)


@steady
@given(readings, st.sampled_from(Granularity))
def test_points_cover_every_day_and_count_each_item_once(
    found: list[tuple[datetime, int]], granularity: Granularity
) -> None:
    first, last = date(2025, 12, 15), date(2026, 2, 10)
    points = pace_points(found, first, last, granularity)
    inside = [(time.date(), item) for time, item in found if first <= time.date() <= last]
    starts = [point.start for point in points]
    assert starts == sorted(set(starts))
    assert len(points) == {Granularity.DAY: 58, Granularity.WEEK: 9, Granularity.MONTH: 3}[granularity]
    assert len({item for _, item in inside}) <= sum(point.n_items for point in points) <= len(set(inside))
    longest = {Granularity.DAY: 1, Granularity.WEEK: 7, Granularity.MONTH: 31}[granularity]
    assert all(7 * point.n_items / longest <= point.velocity <= 7 * point.n_items for point in points)


def test_a_week_begins_on_monday_and_one_without_reading_is_zero() -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    found = [(monday - DAY, "a"), (monday, "a"), (monday + 6 * DAY, "b"), (monday + 14 * DAY, "a")]
    points = pace_points(found, date(2026, 1, 4), date(2026, 1, 20), Granularity.WEEK)
    assert [(point.start.day, point.n_items) for point in points] == [(29, 1), (5, 2), (12, 0), (19, 1)]
    assert [point.velocity for point in points] == [7.0, 2.0, 0.0, 3.5]


def test_a_day_is_worth_a_week_of_such_days() -> None:
    (point,) = pace_points([(NOW, "a"), (NOW, "b"), (NOW, "a")], NOW.date(), NOW.date(), Granularity.DAY)
    assert (point.n_items, point.velocity) == (2, 14.0)


def test_the_day_is_the_one_of_the_readers_clock() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    (point,) = pace_points([(late, "a")], date(2026, 3, 1), date(2026, 3, 1), Granularity.DAY)
    assert point.n_items == 1


def test_no_days_are_no_points() -> None:
    assert pace_points([], date(2026, 1, 2), date(2026, 1, 1), Granularity.DAY) == ()


@steady
@given(readings, st.integers(0, 90))
def test_pace_counts_distinct_items_of_whole_weeks(found: list[tuple[datetime, int]], days: int) -> None:
    result = pace(found, NOW - days * DAY, NOW, CONFIG)
    weeks = max(1, days // 7)
    per_week = [
        len({item for time, item in found if timedelta(0) <= NOW - time - week * 7 * DAY < 7 * DAY})
        for week in range(weeks)
    ]
    assert result.current == per_week[0]
    assert result.average == pytest.approx(sum(per_week) / weeks)


def test_a_young_topic_is_compared_with_nothing() -> None:
    assert pace([(NOW, "a"), (NOW, "b")], NOW - DAY, NOW, CONFIG).trend is Trend.UP
    assert pace([], NOW, NOW, CONFIG).trend is Trend.FLAT
    assert pace([(NOW + DAY, "a")], NOW, NOW, CONFIG).current == 0


@steady
@given(st.integers(0, 100), st.integers(0, 100))
def test_a_trend_turns_round_with_its_windows(before: int, after: int) -> None:
    opposite = {Trend.UP: Trend.DOWN, Trend.DOWN: Trend.UP, Trend.FLAT: Trend.FLAT}
    assert pace_trend(after, before, CONFIG) is opposite[pace_trend(before, after, CONFIG)]
    if abs(before - after) <= 1:
        assert pace_trend(before, after, CONFIG) is Trend.FLAT


def test_one_holiday_does_not_make_a_habit() -> None:
    daily = [NOW + day * DAY for day in range(10)]
    assert usual_interval([*daily, NOW + 60 * DAY]) == 1
    assert usual_interval(reversed(daily)) == 1


@pytest.mark.parametrize("found", [[], [NOW], [NOW, NOW + timedelta(hours=2)]])
def test_one_day_of_reading_is_no_habit(found: list[datetime]) -> None:
    assert usual_interval(found) is None


@steady
@given(st.lists(times, min_size=1, max_size=30), st.floats(0, 400))
def test_a_topic_sleeps_after_thirty_days_or_three_intervals(found: list[datetime], days: float) -> None:
    interval = usual_interval(found)
    assert interval is None or 1 <= interval <= 90
    now = max(found) + days * DAY
    assert falls_asleep(max(found), interval, now, CONFIG) == (
        (now - max(found)) / DAY >= max(30, 3 * (interval or 0))
    )


@pytest.mark.parametrize(
    ("interval", "days", "asleep"),
    [
        (None, 29.9, False),
        (None, 30, True),
        (1.0, 29, False),
        (10.0, 30, True),
        (20.0, 59, False),
        (20.0, 60, True),
    ],
)
def test_how_long_a_topic_stays_awake(interval: float | None, days: float, asleep: bool) -> None:
    assert falls_asleep(NOW - days * DAY, interval, NOW, CONFIG) is asleep

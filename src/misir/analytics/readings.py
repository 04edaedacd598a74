"""PURE: what the counted rows say. No I/O, no clock; the numbers it decides by are the engine's config."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from misir.analytics.schemas import (
    Band,
    Coverage,
    DayCount,
    FocusWeek,
    Health,
    MarginBin,
    SpaceIntention,
    SpacePace,
    SpaceTime,
    TopicHealth,
    TopicRef,
)
from misir.embed.calibration import Calibration
from misir.orient.assign import calibrated
from misir.orient.confidence import has_enough_data
from misir.orient.config import EngineConfig
from misir.orient.pace import DAYS_PER_WEEK, pace_trend
from misir.orient.reading import EngagementLevel
from misir.orient.weight import base_weight

Row = Mapping[str, Any]

RECENT_DAYS: Final = 30
"""What attention means: the reading of the last 30 days."""

HEATMAP_DAYS: Final = 90
N_WEEKS: Final = 26
N_BINS: Final = 10
SECONDS_PER_DAY: Final = 86_400
MS_PER_MINUTE: Final = 60_000


def weight_numbers(config: EngineConfig, calibration: Calibration) -> list[float]:
    """The numbers of `orient.weight.effective_weight`, in the order in which `misir.page_weight` takes them.

    Base weights from latent to saturated; μ and τ; and ln r / period, per second, of the rates high, medium
    and low, so that exp(number · age) is the retention.
    """
    period = config.retention_period_days * SECONDS_PER_DAY
    kept = (config.retention_high, config.retention_medium, config.retention_low)
    bases = [base_weight(level, config) for level in EngagementLevel]
    return [*bases, calibration.mu, calibration.tau, *(math.log(share) / period for share in kept)]


def zone_of(name: str) -> ZoneInfo:
    """UTC for a name this machine does not know.

    >>> zone_of("Europe/Berlin").key, zone_of("Mars/Olympus").key
    ('Europe/Berlin', 'UTC')
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a person's day."""
    return datetime.combine(day, time(), zone)


@dataclass(frozen=True, slots=True)
class Focus:
    """Mean confidence by weight; None while no topic has enough data. n: the artifacts it rests on."""

    value: float | None
    n: int


def focus_of(topics: Iterable[Row], weighed: Mapping[int | None, Row], config: EngineConfig) -> Focus:
    """Σ weight · confidence / Σ weight, over topics with enough data (engine.md §12).

    `weighed` has what weigh_topics says of each topic.
    """
    total, n, weight = 0.0, 0, 0.0
    for topic in topics:
        own = weighed.get(topic["id"])
        if own is not None and has_enough_data(topic["artifact_count"], config):
            total, weight = total + own["weight"] * topic["confidence"], weight + own["weight"]
            n += own["artifact_count"]
    return Focus(min(total / weight, 1.0) if weight > 0 else None, n)


def health_of(focus: Focus, config: EngineConfig) -> Health:
    """Healthy from moderate confidence on, drifting from developing on, else sparse.

    >>> [health_of(Focus(value, 9), EngineConfig()) for value in (0.4, 0.2, 0.1, None)]
    ['healthy', 'drifting', 'sparse', 'sparse']
    """
    if focus.value is None or focus.value < config.developing_confidence:
        return "sparse"
    return "healthy" if focus.value >= config.moderate_confidence else "drifting"


def activity_band(n_artifacts: int, days: int, config: EngineConfig) -> Band:
    """By distinct artifacts a week: from 5 on high, from 1 on medium.

    >>> [activity_band(n, 7, EngineConfig()) for n in (0, 1, 5)], activity_band(4, 30, EngineConfig())
    (['low', 'medium', 'high'], 'low')
    """
    pace = n_artifacts * DAYS_PER_WEEK / days
    if pace >= config.high_pace:
        return "high"
    return "medium" if pace >= config.medium_pace else "low"


def allocate_time(spaces: Iterable[Row], read: Iterable[Row], config: EngineConfig) -> list[SpaceTime]:
    """Minutes by space, most first; words / 200 a minute only where nobody measured, and marked (§12)."""
    by_space = {row["space_id"]: row for row in read}
    known = [
        (space, row["measured_ms"] / MS_PER_MINUTE, row["unmeasured_words"] / config.words_per_minute)
        for space in spaces
        if (row := by_space.get(space["id"])) is not None
    ]
    total = sum(one + other for _, one, other in known)
    rows = [
        SpaceTime(
            space_id=space["id"],
            space_name=space["name"],
            space_color=space["color"],
            minutes=round(minutes + estimate, 1),
            percentage=round(100 * (minutes + estimate) / total, 1) if total else 0.0,
            estimated=estimate > 0,
            estimated_minutes=round(estimate, 1),
            visit_count=by_space[space["id"]]["visit_count"],
        )
        for space, minutes, estimate in known
    ]
    return sorted(rows, key=lambda row: (-row.minutes, row.space_id))


def heat(read: Iterable[Row], days: Iterable[date]) -> list[DayCount]:
    """Every one of the days, empty ones with 0."""
    counts = {row["day"]: row["artifact_count"] for row in read}
    return [DayCount(date=day, count=counts.get(day, 0)) for day in days]


def pace_of(spaces: Iterable[Row], halves: Iterable[Row], config: EngineConfig) -> list[SpacePace]:
    """Every space, those without reading with 0, busiest first. Half 0 is the last week, 1 the one before."""
    counted = {(row["space_id"], row["half"]): row["artifact_count"] for row in halves}
    rows = []
    for space in spaces:
        count, before = (counted.get((space["id"], half), 0) for half in (0, 1))
        trend = pace_trend(before, count, config)
        rows.append(
            SpacePace(
                space_id=space["id"], space_name=space["name"], count=count, count_before=before, trend=trend
            )
        )
    return sorted(rows, key=lambda row: (-row.count, row.space_id))


def near_intention(topic: Row, calibration: Calibration) -> float | None:
    """The topic's cosine to the intention on the model's own scale, 0..1."""
    cosine = topic["intention_similarity"]
    return None if cosine is None else float(calibrated(cosine, calibration.mu, calibration.tau))


def intention_of(
    space: Row,
    topics: Sequence[Row],
    weighed: Mapping[int | None, Row],
    all_recent_weight: float,
    config: EngineConfig,
    calibration: Calibration,
) -> SpaceIntention:
    """Declared against measured: the topics' nearness to the intention, each by its recent weight."""
    own = sum(row["recent_weight"] for row in weighed.values())
    read = [(topic, weighed[topic["id"]]) for topic in topics if topic["id"] in weighed]
    near = [(topic, row, near_intention(topic, calibration)) for topic, row in read]
    told = [(row, nearness) for _, row, nearness in near if nearness is not None and row["recent_weight"] > 0]
    n, weight = sum(row["recent_count"] for row, _ in told), sum(row["recent_weight"] for row, _ in told)
    similarity = sum(row["recent_weight"] * nearness for row, nearness in told) / weight if weight else None
    nearest = [
        (value, topic) for topic in topics if (value := near_intention(topic, calibration)) is not None
    ]
    best = max(nearest, key=lambda one: (one[0], -one[1]["id"]), default=None)
    most = max(read, key=lambda one: (one[1]["recent_weight"], -one[0]["id"]), default=None)
    return SpaceIntention(
        space_id=space["id"],
        space_name=space["name"],
        attention=min(own / all_recent_weight, 1.0) if all_recent_weight else 0.0,
        similarity=similarity if has_enough_data(n, config) else None,
        sample_size=n,
        nearest=None if best is None else ref(best[1]),
        most_read=None if most is None or not most[1]["recent_weight"] else ref(most[0]),
    )


def ref(topic: Row) -> TopicRef:
    return TopicRef(subspace_id=topic["id"], name=topic["name"])


def topic_health(
    topics: Iterable[Row], weighed: Mapping[int | None, Row], config: EngineConfig, calibration: Calibration
) -> list[TopicHealth]:
    total = sum(row["recent_weight"] for row in weighed.values())
    return [
        TopicHealth(
            subspace_id=topic["id"],
            name=topic["name"],
            artifact_count=topic["artifact_count"],
            confidence=topic["confidence"],
            enough_data=has_enough_data(topic["artifact_count"], config),
            attention=min(weighed[topic["id"]]["recent_weight"] / total, 1.0)
            if total and topic["id"] in weighed
            else 0.0,
            intention_similarity=near_intention(topic, calibration),
        )
        for topic in topics
    ]


def coverage_of(topics: Iterable[Row], config: EngineConfig) -> Coverage:
    """Known: enough artifacts and at least moderate confidence; starting: some reading; gaps: none."""
    found = Coverage(known=[], starting=[], gaps=[])
    for topic in topics:
        n = topic["artifact_count"]
        is_known = has_enough_data(n, config) and topic["confidence"] >= config.moderate_confidence
        (found.known if is_known else found.starting if n else found.gaps).append(ref(topic))
    return found


def histogram(counts: Mapping[int, int]) -> list[MarginBin]:
    """Ten bins of fit from the number in each tenth."""
    edges = [tenth / N_BINS for tenth in range(N_BINS + 1)]
    return [
        MarginBin(start=start, end=end, count=counts.get(tenth, 0))
        for tenth, (start, end) in enumerate(pairwise(edges))
    ]


def focus_weeks(
    weeks: Iterable[Row], sums: Sequence[Row], first: date, config: EngineConfig
) -> list[FocusWeek]:
    """Twenty-six weeks from the Monday `first`. Between two snapshots topics stay as they are.

    `sums` of sum_focus, in any order; those before `first` say how things stood when it began.
    """
    read = {row["week"]: row for row in weeks}
    ordered = sorted(sums, key=lambda row: row["week"])
    found, at = list[FocusWeek](), 0
    for number in range(N_WEEKS):
        week = first + timedelta(weeks=number)
        while at < len(ordered) and ordered[at]["week"] <= week:
            at += 1
        stood = ordered[at - 1] if at else None
        n = 0 if stood is None else int(stood["artifact_count"])
        own = read.get(week, {})
        found.append(
            FocusWeek(
                week=week,
                focus=min(max(stood["focus_sum"] / n, 0.0), 1.0)
                if stood is not None and has_enough_data(n, config)
                else None,
                focus_sample=n,
                clarity=own.get("clarity"),
                clarity_sample=own.get("fitted_count", 0),
                artifact_count=own.get("artifact_count", 0),
            )
        )
    return found

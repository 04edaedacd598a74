"""Where attention goes: all spaces, and one. Each view is a fixed number of statements in one transaction.

`as_of` answers as of that time: artifacts as their signals until then left them, topics as of the last day on
which each had changed. Corrections count as if they had always been made.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from misir.analytics import readings
from misir.analytics.readings import HEATMAP_DAYS, N_WEEKS, RECENT_DAYS, start_of_day, zone_of
from misir.analytics.schemas import (
    Band,
    DomainCount,
    FocusHistory,
    GlobalAnalytics,
    InfluentialRead,
    LooseItem,
    MarginDistribution,
    Overview,
    SpaceAnalytics,
    SpaceIntention,
)
from misir.analytics.sums import weigh
from misir.errors import not_found
from misir.orient.confidence import has_enough_data
from misir.orient.reading import ContentSource, EngagementLevel
from misir.paging import CAP
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.analytics", "analytics.sql")

PLANS: Final = "force_custom_plan"
"""One plan for all, now and then, has both parts of `pages_at`: dearer than planning a large library."""

N_LOOSE: Final = 10
N_DOMAINS: Final = 5
N_INFLUENTIAL: Final = 10

ACTIVITY: Final[dict[Band, Literal["High", "Medium", "Low"]]] = {
    "high": "High",
    "medium": "Medium",
    "low": "Low",
}

Row = dict[str, Any]


async def global_analytics(
    res: Resources, user_id: uuid.UUID, *, now: datetime, as_of: datetime | None = None
) -> GlobalAnalytics:
    """All spaces together."""
    at = as_of or now
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        zone = await load_zone(tx)
        today = at.astimezone(zone).date()
        days = [today - timedelta(days=ago) for ago in reversed(range(HEATMAP_DAYS))]
        starts = [start_of_day(day, zone) for day in days]
        asked = _asked(res, None, at, as_of) | {
            "days": days,
            "starts": starts,
            "since": starts[0],
            "week_since": at - timedelta(days=7),
            "fortnight_since": at - timedelta(days=14),
        }
        found = [
            await tx.ask(SQL.list_spaces, asked, limit=CAP),
            await tx.ask(SQL.list_topics, asked, limit=CAP),
            await tx.ask(SQL.count_days, asked),
        ]
        weighed = await weigh(tx, asked)
        spaces, topics, counts = [await one.fetchall() for one in found]
        ids = {space["id"] for space in spaces}
        loose = [
            await tx.ask(SQL.list_loose, asked, is_unplaced=one, space_ids=sorted(ids), limit=N_LOOSE)
            for one in (False, True)
        ]
        weak, unplaced = [await one.fetchall() for one in loose]
    by_day = [row for row in counts if row["day"] is not None]
    halves = [row for row in counts if row["half"] is not None]
    by_space = [row for row in counts if row["visit_count"] is not None]
    weighed = [row for row in weighed if row["space_id"] in ids]
    return GlobalAnalytics(
        overview=_overview(res, spaces, topics, weighed),
        time_allocation=readings.allocate_time(spaces, by_space, res.config),
        activity_heatmap=readings.heat(by_day, days),
        weak_items=[_loose(row) for row in weak],
        pace_by_space=readings.pace_of([one for one in spaces if not one["is_archived"]], halves, res.config),
        unplaced_items=[_loose(row) for row in unplaced],
        unplaced_count=sum(row["artifact_count"] for row in weighed if row["subspace_id"] is None),
        intentions=_intentions(res, spaces, topics, weighed),
        timezone=zone.key,
        as_of=at,
    )


async def load_zone(tx: Tx) -> ZoneInfo:
    row = await (await tx.ask(SQL.load_clock)).fetchone()
    return zone_of((row or {})["timezone"])


def _asked(res: Resources, space_id: int | None, at: datetime, as_of: datetime | None) -> dict[str, Any]:
    """The values that most statements share."""
    return {
        "space_id": space_id,
        "at": at,
        "as_of": as_of,
        "recent_since": at - timedelta(days=RECENT_DAYS),
        "weak_fit": res.config.moderate_fit,
        "numbers": readings.weight_numbers(res.config, res.embedder.calibration),
    }


def _overview(
    res: Resources, spaces: Sequence[Row], topics: Sequence[Row], weighed: Sequence[Row]
) -> Overview:
    focus = readings.focus_of(topics, {row["subspace_id"]: row for row in weighed}, res.config)
    return Overview(
        total_artifacts=sum(row["artifact_count"] for row in weighed),
        active_spaces=sum(not space["is_archived"] for space in spaces),
        overall_focus=focus.value or 0.0,
        system_health=readings.health_of(focus, res.config),
        enough_data=focus.value is not None,
        focus_sample=focus.n,
    )


def _intentions(
    res: Resources, spaces: Iterable[Row], topics: Iterable[Row], weighed: Sequence[Row]
) -> list[SpaceIntention]:
    """Of the spaces that have an intention and are not archived."""
    topics_of: dict[int, list[Row]] = defaultdict(list)
    for topic in topics:
        topics_of[topic["space_id"]].append(topic)
    weights_of: dict[int, dict[int | None, Row]] = defaultdict(dict)
    for row in weighed:
        weights_of[row["space_id"]][row["subspace_id"]] = row
    total = sum(row["recent_weight"] for row in weighed)
    return [
        readings.intention_of(
            space,
            topics_of[space["id"]],
            weights_of[space["id"]],
            total,
            res.config,
            res.embedder.calibration,
        )
        for space in spaces
        if space["has_intention"] and not space["is_archived"]
    ]


def _loose(row: Row) -> LooseItem:
    return LooseItem(**row, margin=row["fit"])


async def space_analytics(
    res: Resources, user_id: uuid.UUID, space_id: int, *, now: datetime, as_of: datetime | None = None
) -> SpaceAnalytics:
    """One space. Raises MisirError 404."""
    at = as_of or now
    asked = _asked(res, space_id, at, as_of) | _grades(res)
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        space = await load_space(tx, space_id)
        found = [
            await tx.ask(SQL.list_topics, asked, limit=CAP),
            await tx.ask(
                SQL.count_pages if as_of else SQL.count_kinds_and_domains, asked, n_domains=N_DOMAINS
            ),
        ]
        weighed_now = None if as_of else await weigh(tx, asked)
        topics, counted = [await one.fetchall() for one in found]
        past, kinds, domains = (
            [row for row in counted if row["part"] == part] for part in ("topic", "kind", "domain")
        )
        rows = past if weighed_now is None else weighed_now
        heaviest = _heaviest(rows, N_INFLUENTIAL)
        found_reads = await tx.ask(SQL.list_influential, asked, subspace_ids=heaviest, limit=N_INFLUENTIAL)
        reads = await found_reads.fetchall()
    weighed = {row["subspace_id"]: row for row in rows}
    recent = sum(row["recent_count"] for row in rows)
    band = readings.activity_band(recent, RECENT_DAYS, res.config)
    total_weight = sum(row["recent_weight"] for row in rows)
    calibration = res.embedder.calibration
    clarity, n_fitted = _clarity(kinds)
    return SpaceAnalytics(
        space_id=space_id,
        total_artifacts=sum(row["artifact_count"] for row in rows),
        engagement_distribution=_counts(kinds, "level", EngagementLevel),
        source_distribution=_counts(kinds, "source", ContentSource),
        top_domains=[DomainCount(domain=row["domain"], count=row["count"]) for row in domains],
        activity_level=ACTIVITY[band],
        recent_artifact_count=recent,
        focus=readings.focus_of(topics, weighed, res.config).value,
        clarity=clarity if has_enough_data(n_fitted, res.config) else None,
        clarity_sample=n_fitted,
        unplaced_count=weighed[None]["artifact_count"] if None in weighed else 0,
        subspace_health=readings.topic_health(topics, weighed, res.config, calibration),
        coverage=readings.coverage_of(topics, res.config),
        influential_reads=[InfluentialRead(**row, engagement_level=row["level"]) for row in reads],
        intention=readings.intention_of(space, topics, weighed, total_weight, res.config, calibration)
        if space["intention"]
        else None,
        as_of=at,
    )


def _heaviest(rows: Iterable[Row], n: int) -> list[int]:
    """The topics that the n heaviest artifacts are in: those with one of the n greatest max_weights."""
    weights = {
        row["subspace_id"]: row["max_weight"]
        for row in rows
        if row["subspace_id"] is not None and row["max_weight"]
    }
    least = min(sorted(weights.values(), reverse=True)[:n], default=0.0)
    return sorted(topic for topic, weight in weights.items() if weight >= least)


async def load_space(tx: Tx, space_id: int) -> Row:
    """Raises MisirError 404."""
    row = await (await tx.ask(SQL.load_space, space_id=space_id)).fetchone()
    if row is None:
        raise not_found("The space")
    return row


def _grades(res: Resources) -> dict[str, float]:
    return {"moderate_fit": res.config.moderate_fit, "strong_fit": res.config.strong_fit}


def _counts(kinds: Iterable[Row], name: str, values: Iterable[Any]) -> dict[Any, int]:
    """How many there are of each value, the values nobody has included."""
    found: Counter[str] = Counter()
    for row in kinds:
        found[row[name]] += row["count"]
    return {value: found[value.value] for value in values}


def _clarity(kinds: Iterable[Row]) -> tuple[float, int]:
    """Mean fit of the artifacts in topics, and how many there are."""
    fitted = [(row["fit_sum"], row["count"]) for row in kinds if row["grade"] is not None]
    n = sum(count for _, count in fitted)
    return (min(sum(total for total, _ in fitted) / n, 1.0) if n else 0.0), n


async def margin_distribution(
    res: Resources, user_id: uuid.UUID, space_id: int, *, as_of: datetime | None = None
) -> MarginDistribution:
    """How well the artifacts of a space fit their topics. Raises MisirError 404."""
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        cursor = await tx.ask(SQL.count_kinds, _grades(res), space_id=space_id, as_of=as_of)
        kinds = await cursor.fetchall()
    grades: Counter[str] = Counter()
    tenths: Counter[int] = Counter()
    for row in kinds:
        if row["grade"] is not None:
            grades[row["grade"]] += row["count"]
            tenths[row["tenth"]] += row["count"]
    total = grades.total()
    return MarginDistribution(
        distribution={"weak": grades["weak"], "moderate": grades["moderate"], "strong": grades["strong"]},
        total=total,
        histogram=readings.histogram(tenths),
        unplaced_count=sum(row["count"] for row in kinds) - total,
        enough_data=has_enough_data(total, res.config),
    )


async def focus_history(
    res: Resources, user_id: uuid.UUID, space_id: int, *, now: datetime, as_of: datetime | None = None
) -> FocusHistory:
    """Focus, clarity and pace of a space, week by week. Raises MisirError 404."""
    at = as_of or now
    async with res.database.as_user(user_id, plans=PLANS, reads_only=True) as tx:
        await load_space(tx, space_id)
        zone = await load_zone(tx)
        today = at.astimezone(zone).date()
        first = today - timedelta(days=today.weekday(), weeks=N_WEEKS - 1)
        asked = {"space_id": space_id, "timezone": zone.key, "at": at, "since": start_of_day(first, zone)}
        weeks = await tx.ask(SQL.count_weeks, asked)
        least = res.config.min_artifacts
        sums = await tx.ask(SQL.sum_focus, asked, first=first, min_artifacts=least)
        points = readings.focus_weeks(await weeks.fetchall(), await sums.fetchall(), first, res.config)
    return FocusHistory(space_id=space_id, weeks=points, timezone=zone.key, as_of=at)

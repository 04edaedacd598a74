"""A space over time: focus with its shifts marked, fit, pace, depth, sources, and what shaped it most."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.analytics.schemas import DriftPoint, FocusWeek, SpaceAnalytics
from misir.analytics.series import drift_series
from misir.analytics.views import focus_history, margin_distribution, space_analytics
from misir.deps import Now, Res
from misir.fields import PathId
from misir.spaces.views import get_space
from misir.web.app import why, words
from misir.web.app.charts import Bar, Point, draw_bars, draw_line, x_of
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

MAX_SHIFTS: Final = 20


@router.get("/spaces/{space_id}/insights")
async def get_insights(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    space = await get_space(res.database, me, space_id, now)
    found = await space_analytics(res, me, space_id, now=now)
    history = await focus_history(res, me, space_id, now=now)
    fits = await margin_distribution(res, me, space_id)
    shifts = (await drift_series(res, me, space_id))[:MAX_SHIFTS]
    weeks = since_begun(history.weeks)
    values = {
        "space": space,
        "found": found,
        "weeks": weeks,
        "focus": draw_line([one.focus for one in weeks], [_say("Focus", one, one.focus) for one in weeks]),
        "clarity": draw_line(
            [one.clarity for one in weeks], [_say("Fit", one, one.clarity) for one in weeks]
        ),
        "marks": mark_shifts(shifts, weeks),
        "pace": draw_columns(weeks),
        "fits": fits,
        "histogram": draw_bars((f"{one.start:.1f}", one.count, f"{one.count}") for one in fits.histogram),
        "depth": draw_depth(found),
        "domains": draw_bars((one.domain, one.count, f"{one.count}") for one in found.top_domains),
        "shifts": shifts,
        "tab": "insights",
        "reasons": why.reasons_of_space(found, fits, weeks),
    }
    return await show(request, me, "app/insights.html", values, page="space", space_id=space_id)


def since_begun(weeks: Sequence[FocusWeek]) -> list[FocusWeek]:
    """PURE: the weeks from the first one in which anything was read or known."""
    begun = next(
        (at for at, one in enumerate(weeks) if one.artifact_count or one.focus is not None), len(weeks)
    )
    return list(weeks[begun:])


def _say(what: str, week: FocusWeek, value: float | None) -> str:
    return "" if value is None else f"{what} {value:.2f} in the week of {week.week.day} {week.week:%b}"


def mark_shifts(shifts: Sequence[DriftPoint], weeks: Sequence[FocusWeek]) -> list[Point]:
    """PURE: each shift at its day between the weeks' points, which stand for the ends of their weeks."""
    if not weeks:
        return []
    first_end = weeks[0].week + timedelta(days=7)
    return [
        Point(
            x_of(min(max(_weeks_after(first_end, one), 0.0), len(weeks) - 1), len(weeks)),
            0.0,
            one.subspace_name,
        )
        for one in shifts
        if one.occurred_at.date() >= weeks[0].week
    ]


def _weeks_after(day: date, shift: DriftPoint) -> float:
    return (shift.occurred_at.date() - day).days / 7


def draw_columns(weeks: Sequence[FocusWeek]) -> list[dict[str, Any]]:
    """PURE: a column for each week's different items."""
    most = max((one.artifact_count for one in weeks), default=0)
    return [
        {
            "week": one.week,
            "count": one.artifact_count,
            "height": 100 * one.artifact_count / most if most else 0.0,
        }
        for one in weeks
    ]


def draw_depth(found: SpaceAnalytics) -> list[Bar]:
    return draw_bars((words.LEVELS[level], n, f"{n}") for level, n in found.engagement_distribution.items())

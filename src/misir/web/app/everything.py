"""All spaces together: time, days, pace, what fits nowhere, and intention against attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.analytics.readings import HEATMAP_DAYS
from misir.analytics.schemas import GlobalAnalytics, SpacePace, SpaceTime
from misir.analytics.views import global_analytics
from misir.deps import Now, Res
from misir.spaces.views import list_spaces
from misir.web.app import why, words
from misir.web.app.charts import Bar, draw_bars, draw_calendar
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

TRENDS: Final = {"up": "more than the week before", "down": "less than the week before", "flat": "as before"}
HEALTH: Final = {
    "healthy": "Your topics hold together.",
    "drifting": "Your topics are loose: they hold together only in part.",
    "sparse": "There is little to go by yet.",
}


@router.get("/everything")
async def get_everything(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    found = await global_analytics(res, me, now=now)
    spaces = (await list_spaces(res.database, me, now)).spaces
    colors = {space.id: space.color for space in spaces}
    time, pace = found.time_allocation, sorted(found.pace_by_space, key=lambda one: -one.count)
    counts = {one.date: one.count for one in found.activity_heatmap}
    values = {
        "found": found,
        "health": HEALTH[found.overview.system_health],
        "time": _by_space(colors, [(one.space_id, one.space_name, one.minutes, _time(one)) for one in time]),
        "cells": draw_calendar(counts, max(counts), HEATMAP_DAYS),
        "days_read": sum(1 for count in counts.values() if count),
        "pace": _by_space(colors, [(one.space_id, one.space_name, one.count, _pace(one)) for one in pace]),
        "badly": [one for one in found.weak_items if one.subspace_id is not None],
        "intentions": draw_intentions(found),
        "reasons": why.reasons_of_everything(found),
    }
    return await show(request, me, "app/everything.html", values, page="everything")


def _by_space(colors: Mapping[int, str], rows: Sequence[tuple[int, str, float, str]]) -> list[Bar]:
    """Bars of (space id, name, value, the value in words) in the spaces' own colours."""
    bars = draw_bars((label, value, said) for _, label, value, said in rows)
    return [replace(bar, color=colors.get(row[0])) for bar, row in zip(bars, rows, strict=True)]


def _pace(one: SpacePace) -> str:
    return f"{one.count}, {TRENDS[one.trend.value]} ({one.count_before})"


def _time(one: SpaceTime) -> str:
    told = f"{words.span(one.minutes * 60_000)}, {one.percentage:.0f} %"
    return f"{told}, partly estimated" if one.estimated else told


def draw_intentions(found: GlobalAnalytics) -> list[dict[str, object]]:
    """Two bars for each space with an intention: its share of attention, and how near its reading comes."""
    return [
        {
            "one": one,
            "attention": Bar("Attention", 100 * one.attention, f"{100 * one.attention:.0f} %"),
            "nearness": None
            if one.similarity is None
            else Bar("Nearness", 100 * one.similarity, f"{one.similarity:.2f}"),
        }
        for one in found.intentions
    ]

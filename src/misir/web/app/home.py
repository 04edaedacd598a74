"""The first page of the app: what is going on, space by space, and what was read last."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from misir.analytics.readings import start_of_day
from misir.analytics.views import load_zone
from misir.deps import Now, Res
from misir.library.schemas import ArtifactItem
from misir.library.views import list_artifacts
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.schemas import Space
from misir.spaces.views import list_spaces
from misir.web.app import why
from misir.web.app.attention import read_notes
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

N_RECENT: Final = 8
N_DAYS: Final = 30


@router.get("")
async def get_home(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    """Spaces, activity, recent items. Somebody without a space is led to the first one."""
    spaces = (await list_spaces(res.database, me, now, limit=100)).spaces
    if not spaces:
        return RedirectResponse("/app/start", 303)
    recent = (await list_artifacts(res.database, me, limit=N_RECENT)).items
    today, rows, topics = await _read_more(res, me, now, recent)
    values = {
        "spaces": spaces,
        "space_names": {space.id: space for space in spaces},
        "topics": topics,
        "recent": recent,
        "notes": await read_notes(res, me, now),
        "activity": draw_activity(rows, spaces, today),
        "week": summarise_week(rows, spaces, today),
        "why": why,
    }
    return await show(request, me, "app/home.html", values, page="home")


async def _read_more(
    res: Resources, me: uuid.UUID, now: datetime, recent: Sequence[ArtifactItem]
) -> tuple[date, list[dict[str, Any]], dict[int, str]]:
    async with res.database.as_user(me) as tx:
        zone = await load_zone(tx)
        today = now.astimezone(zone).date()
        since = start_of_day(today - timedelta(days=N_DAYS - 1), zone)
        days = await tx.ask(SQL.count_items_by_day, since=since, timezone=zone.key)
        return today, await days.fetchall(), await name_topics(tx, recent)


async def name_topics(tx: Tx, items: Sequence[ArtifactItem]) -> dict[int, str]:
    """The names of the topics that items are in."""
    topic_ids = sorted({item.subspace_id for item in items if item.subspace_id is not None})
    rows = await tx.ask(SQL.list_topics_of_spaces, topic_ids=topic_ids)
    return {row["id"]: row["name"] for row in await rows.fetchall()}


@dataclass(frozen=True, slots=True)
class Part:
    """One space's share of a day's bar, in percent of the chart's height, from the bottom."""

    color: str
    bottom: float
    height: float


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    items: int
    parts: list[Part]
    words: str


@dataclass(frozen=True, slots=True)
class Activity:
    """A month of days. `most`: the chart's height in items; `legend`: each space's name, colour and items."""

    days: list[Day]
    most: int
    total: int
    legend: list[tuple[str, str, int]]


def draw_activity(rows: Sequence[Mapping[str, Any]], spaces: Sequence[Space], today: date) -> Activity:
    """PURE: a bar a day from count_items_by_day's rows, a colour for each space; empty days included."""
    counts: dict[date, dict[int, int]] = defaultdict(dict)
    for row in rows:
        counts[row["day"]][row["space_id"]] = row["items"]
    most = max((sum(day.values()) for day in counts.values()), default=0)
    days = [today - timedelta(days=back) for back in reversed(range(N_DAYS))]
    totals = {space.id: sum(day.get(space.id, 0) for day in counts.values()) for space in spaces}
    named = sorted(spaces, key=lambda space: -totals[space.id])
    return Activity(
        [_draw_day(day, counts.get(day, {}), named, most) for day in days],
        most,
        sum(totals.values()),
        [(space.name, space.color, totals[space.id]) for space in named if totals[space.id]],
    )


def _draw_day(day: date, counts: Mapping[int, int], spaces: Sequence[Space], most: int) -> Day:
    parts, bottom, told = list[Part](), 0.0, list[str]()
    for space in spaces:
        if n := counts.get(space.id, 0):
            height = 100 * n / most
            parts.append(Part(space.color, bottom, height))
            told.append(f"{space.name} {n}")
            bottom += height
    return Day(day, sum(counts.values()), parts, ", ".join(told) or "nothing")


@dataclass(frozen=True, slots=True)
class Week:
    """The last 7 days against the 7 before."""

    items: int
    items_before: int
    items_read: int
    read_ms: int
    busiest: str | None


def summarise_week(rows: Sequence[Mapping[str, Any]], spaces: Sequence[Space], today: date) -> Week:
    """PURE: from the rows of count_items_by_day."""
    names = {space.id: space.name for space in spaces}
    last = [row for row in rows if row["day"] > today - timedelta(days=7)]
    before = [row for row in rows if today - timedelta(days=14) < row["day"] <= today - timedelta(days=7)]
    by_space: dict[int, int] = defaultdict(int)
    for row in last:
        by_space[row["space_id"]] += row["items"]
    busiest = max(by_space, key=lambda one: by_space[one], default=None)
    return Week(
        sum(row["items"] for row in last),
        sum(row["items"] for row in before),
        sum(row["items_read"] for row in last),
        sum(row["read_ms"] for row in last),
        names.get(busiest or 0),
    )

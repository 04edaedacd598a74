"""A space: how it is doing and what its topics are, and its library with search, filters and order."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.analytics.views import space_analytics
from misir.deps import Now, Res
from misir.errors import not_found
from misir.fields import MAX_ID, PathId
from misir.library.routes import Sort
from misir.library.views import Filters, list_space_artifacts
from misir.orient.reading import ContentSource, EngagementLevel
from misir.resources import Resources
from misir.spaces.schemas import Subspace
from misir.spaces.topic_schemas import LifeEvent
from misir.spaces.topic_views import get_topic, list_space_events, list_topic_events
from misir.spaces.views import get_space, list_subspaces
from misir.web.app import why
from misir.web.app.attention import read_notes
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

PAGE_SIZE: Final = 30
N_EVENTS: Final = 12
N_NEWEST: Final = 10
MAX_PAGE: Final = 1_000_000
SORTS: Final = {
    "recent": "Newest first",
    "oldest": "Oldest first",
    "fit_desc": "Clearest fit first",
    "fit_asc": "Weakest fit first",
    "reading_time": "Longest first",
    "relevance": "Best match first",
}
FITS: Final = {
    "strong": "Strong fit",
    "moderate": "Moderate fit",
    "weak": "Weak fit",
}


@router.get("/spaces/{space_id}")
async def get_overview(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Health, topics, and what happened to them lately."""
    space = await get_space(res.database, me, space_id, now)
    topics = await list_subspaces(res.database, me, space_id, limit=100)
    life = await list_space_events(res.database, me, space_id, limit=N_EVENTS)
    values = {
        "space": space,
        "topics": [topic for topic in topics if topic.state != "retired"],
        "retired": [topic for topic in topics if topic.state == "retired"],
        "events": await tell(res, me, life.events, topics),
        "found": await space_analytics(res, me, space_id, now=now),
        "notes": await read_notes(res, me, now, space_id),
        "tab": "overview",
        "why": why,
    }
    return await show(request, me, "app/space.html", values, page="space", space_id=space_id)


async def tell(
    res: Resources, me: uuid.UUID, events: Sequence[LifeEvent], topics: Sequence[Subspace]
) -> list[dict[str, Any]]:
    """Events with the names of their topics and of the items that caused them."""
    caused = {event.id: [int(one) for one in event.cause.get("artifact_ids", [])[:3]] for event in events}
    async with res.database.as_user(me) as tx:
        wanted = sorted({one for ids in caused.values() for one in ids})
        rows = await (await tx.ask(SQL.list_titles, artifact_ids=wanted)).fetchall()
    titles, names = {row["id"]: row["title"] for row in rows}, {topic.id: topic.name for topic in topics}
    return [
        {
            "event": event,
            "topic": names.get(event.subspace_id or 0),
            "items": [(one, titles[one]) for one in caused[event.id] if one in titles],
        }
        for event in events
    ]


@router.get("/topics/{topic_id}")
async def get_topic_page(request: Request, me: Visitor, res: Res, now: Now, topic_id: PathId) -> Response:
    """One topic: what it holds, what happened to it, and how to change it."""
    topic = await get_topic(res.database, me, topic_id)
    space = await get_space(res.database, me, topic.space_id, now)
    filters = Filters(subspace_id=topic_id)
    items = await list_space_artifacts(res.database, me, space.id, filters, page_size=N_NEWEST)
    life = await list_topic_events(res.database, me, topic_id, limit=N_EVENTS)
    siblings = await list_subspaces(res.database, me, space.id, limit=100)
    values = {
        "space": space,
        "topic": topic,
        "items": items,
        "others": [one for one in siblings if one.id != topic_id and one.state != "retired"],
        "events": await tell(res, me, life.events, [topic]),
        "topics": {topic.id: topic.name},
        "tab": "topic",
        "why": why,
    }
    return await show(request, me, "app/topic.html", values, page="space", space_id=space.id)


@router.get("/spaces/{space_id}/library")
async def get_library(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Everything in the space, by words, topic, depth, kind and fit."""
    asked = dict(request.query_params)
    filters, page = read_filters(asked, res), read_page(asked)
    space = await get_space(res.database, me, space_id, now)
    topics = await list_subspaces(res.database, me, space_id, limit=100)
    found = await list_space_artifacts(res.database, me, space_id, filters, page=page, page_size=PAGE_SIZE)
    values = {
        "space": space,
        "topics": {topic.id: topic.name for topic in topics},
        "open_topics": [topic for topic in topics if topic.state != "retired"],
        "found": found,
        "asked": asked,
        "is_filtered": any(asked.get(name) for name in ("q", "topic", "level", "source", "fit", "domain")),
        "sorts": SORTS,
        "fits": FITS,
        "levels": list(EngagementLevel),
        "sources": list(ContentSource),
        "turn": {
            "previous": _address(request, asked, page - 1) if page > 1 else None,
            "next": _address(request, asked, page + 1) if page * PAGE_SIZE < found.count else None,
            "page": page,
            "last": max(1, -(-found.count // PAGE_SIZE)),
        },
        "tab": "library",
        "why": why,
    }
    return await show(request, me, "app/library.html", values, page="space", space_id=space_id)


def _address(request: Request, asked: Mapping[str, str], page: int) -> str:
    kept = {name: value for name, value in asked.items() if value and name != "page"}
    return f"{request.url.path}?{urlencode({**kept, 'page': page})}"


def read_page(asked: Mapping[str, str]) -> int:
    """A page's number; anything else is the first."""
    text = asked.get("page", "")
    return min(max(int(text[:9]), 1), MAX_PAGE) if text.isascii() and text.isdigit() else 1


def read_filters(asked: Mapping[str, str], res: Resources) -> Filters:
    """What the form asks for; what it does not know it does not ask for."""
    sort = asked.get("sort", "")
    filters = Filters(
        subspace_id=_known_id(asked.get("topic", "")),
        levels=[level] if (level := asked.get("level")) in set(EngagementLevel) and level else None,
        source=source if (source := asked.get("source")) in set(ContentSource) else None,
        domain=(asked.get("domain") or "").strip()[:253].replace("\x00", "") or None,
        q=(asked.get("q") or "").strip()[:1000].replace("\x00", "") or None,
        sort=sort if sort in get_args(Sort) else "recent",
    )
    return _within_fit(filters, asked.get("fit", ""), res)


def _within_fit(filters: Filters, grade: str, res: Resources) -> Filters:
    moderate, strong = res.config.moderate_fit, res.config.strong_fit
    ranges = {"strong": (strong, None), "moderate": (moderate, strong), "weak": (None, moderate)}
    low, high = ranges.get(grade, (None, None))
    return replace(filters, min_fit=low, max_fit=high)


def _known_id(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= MAX_ID):
        raise not_found("The topic")
    return int(text)

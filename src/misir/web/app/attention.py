"""What needs attention: what the rules found, why, and what a button can do about it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.deps import Now, Res
from misir.fields import PathId
from misir.insights.findings import Severity
from misir.insights.schemas import Insight, Snooze, SuggestedAction
from misir.insights.views import answer, list_insights, snooze
from misir.resources import Resources
from misir.web.app.forms import read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, go
from misir.web.app.why import Why

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

N_SHOWN: Final = 12
N_TITLES: Final = 3

RULES: Final = {
    "low_margin": "Raised when the mean fit of the last 5 items of a space is below 0.3.",
    "high_drift": "Raised when a topic shifted within 7 days by more than is usual for you.",
    "velocity_drop": "Raised when a week has less than half of a month's usual items, from 2 a week on.",
    "confidence_drop": "Raised when a topic's confidence fell by more than 0.2 within 7 days.",
    "stagnation": "Raised when nothing was read in a space for 14 days.",
    "burst": "Raised from 5 items within 24 hours on, where that is more than on 9 of 10 of your days.",
    "intention_gap": "Raised when a month's reading is nearer to other topics than to what the space is for.",
    "echo": "Raised when more than 80 % of the last 50 items come from one site.",
    "never_read": "Raised when items were saved more than 30 days ago and never opened.",
    "merge_proposal": "Raised when fewer than 3 in 4 items of two topics lie nearest to their own.",
    "split_proposal": "Raised when a topic's items fall into two groups that are clearly apart.",
}


@dataclass(frozen=True, slots=True)
class Way:
    """What a person can do about it: a link where there are no `fields`, else a form."""

    label: str
    address: str
    fields: list[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Note:
    insight: Insight
    why: Why
    items: list[tuple[int, str]]
    ways: list[Way]


async def read_notes(res: Resources, me: uuid.UUID, now: datetime, space_id: int | None = None) -> list[Note]:
    """Active insights of one space or of all, the gravest first, ready to be shown."""
    found, _ = await list_insights(res, me, now, space_id=space_id, limit=N_SHOWN)
    wanted = sorted({one for insight in found for one in insight.insight_data.artifact_ids[:N_TITLES]})
    async with res.database.as_user(me) as tx:
        rows = await (await tx.ask(SQL.list_titles, artifact_ids=wanted)).fetchall()
    titles = {row["id"]: row["title"] for row in rows}
    urgent = sorted(found, key=lambda insight: -list(Severity).index(insight.severity))
    return [_note(insight, titles) for insight in urgent]


def _note(insight: Insight, titles: Mapping[int, str]) -> Note:
    named = [one for one in insight.insight_data.artifact_ids[:N_TITLES] if one in titles]
    ways = [way for way in map(way_of, insight.actions) if way is not None]
    return Note(insight, _why(insight), [(one, titles[one]) for one in named], ways)


def _why(insight: Insight) -> Why:
    evidence, data = insight.evidence, insight.insight_data
    told = [f"{name}: {_figure(evidence[name])}" for name in ("effect", "threshold") if name in evidence]
    sample = evidence.get("sample_size", len(data.artifact_ids))
    return Why(
        insight.headline,
        insight.description,
        RULES.get(data.rule, f"Raised by the rule {data.rule}."),
        "; ".join([f"{sample} items", *told]),
        _dates(evidence, insight.created_at),
    )


def _figure(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _dates(evidence: Mapping[str, Any], raised: datetime) -> str:
    first, last = str(evidence.get("from", ""))[:10], str(evidence.get("to", ""))[:10]
    span = f"From {first} to {last}. " if first and last else ""
    return f"{span}Raised on {raised.day} {raised:%b %Y}."


def way_of(action: SuggestedAction) -> Way | None:
    """PURE: an action of the API as a page or a form of the app; None where the app has no such thing.

    >>> merge = SuggestedAction(
    ...     label="Merge", action="merge", target="/api/v1/subspaces/7/merge", method="POST", body={"into": 9}
    ... )
    >>> way_of(merge)
    Way(label='Merge', address='/app/topics/7/merge', fields=[('into', '9')])
    """
    for pattern, address in _PLACES.get(action.method, ()):
        if match := re.fullmatch(pattern, action.target):
            where = match.expand(address)
            if action.method == "GET":
                return Way(action.label, where + _query(action.target))
            return Way(action.label, where, _fields(action.body or {}))
    return None


_PLACES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "GET": (
        (r"/api/v1/spaces/(\d+)/artifacts(?:\?.*)?", r"/app/spaces/\1/library"),
        (r"/api/v1/spaces/(\d+)/subspaces", r"/app/spaces/\1"),
        (r"/api/v1/subspaces/(\d+)(?:/history|/events)?", r"/app/topics/\1"),
    ),
    "POST": (
        (r"/api/v1/subspaces/(\d+)/(merge|split|retire)", r"/app/topics/\1/\2"),
        (r"/api/v1/artifacts/bulk", "/app/bulk"),
    ),
    "PATCH": ((r"/api/v1/spaces/(\d+)", r"/app/spaces/\1/archive"),),
}

_NAMES: Final = {
    "subspace_id": "topic",
    "engagement_level": "level",
    "sort": "sort",
    "domain": "domain",
    "q": "q",
}


def _query(target: str) -> str:
    """The API's filters by the names that the library's form has."""
    asked = dict(parse_qsl(target.partition("?")[2]))
    kept = {_NAMES[name]: value for name, value in asked.items() if name in _NAMES}
    if "max_fit" in asked or "max_margin" in asked:
        kept["fit"] = "weak"
    return f"?{urlencode(kept)}" if kept else ""


def _fields(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = {
        "into": "into",
        "action": "do",
        "artifact_ids": "item",
        "subspace_id": "topic",
        "space_id": "space",
    }
    known = [(named[name], value) for name, value in body.items() if name in named]
    listed = [(name, value if isinstance(value, list) else [value]) for name, value in known]
    return [(name, str(one)) for name, values in listed for one in values]


@router.post("/insights/{insight_id}/dismiss")
async def post_dismiss(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    form = await read_form(request)
    await answer(res, me, insight_id, "dismissed", now)
    return go(request, form.get("next"), "Dismissed: it stays quiet for 7 days.")


@router.post("/insights/{insight_id}/snooze")
async def post_snooze(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    form = await read_form(request)
    await snooze(res, me, insight_id, Snooze.model_validate({"days": 7}), now)
    return go(request, form.get("next"), "Put off: it comes back in a week, if it still holds.")

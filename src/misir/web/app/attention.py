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
from misir.insights.findings import Rule, Severity
from misir.insights.schemas import Insight, Snooze, SuggestedAction
from misir.insights.views import answer, list_insights, note_acted, reopen, snooze
from misir.resources import Resources
from misir.web.app.forms import Form, read_form
from misir.web.app.rules import RuleInWords, rules_in_words
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, go
from misir.web.app.why import Why

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

N_SHOWN: Final = 12
N_TITLES: Final = 3


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
    rules = rules_in_words(res.config)
    return [_note(insight, titles, rules) for insight in urgent]


def _note(insight: Insight, titles: Mapping[int, str], rules: Mapping[Rule, RuleInWords]) -> Note:
    named = [one for one in insight.insight_data.artifact_ids[:N_TITLES] if one in titles]
    ways = [way for way in map(way_of, insight.actions) if way is not None]
    return Note(insight, _why(insight, rules), [(one, titles[one]) for one in named], ways)


def _why(insight: Insight, rules: Mapping[Rule, RuleInWords]) -> Why:
    evidence, data = insight.evidence, insight.insight_data
    told = [f"{name}: {_figure(evidence[name])}" for name in ("effect", "threshold") if name in evidence]
    sample = evidence.get("sample_size", len(data.artifact_ids))
    return Why(
        insight.headline,
        insight.description,
        rules[Rule(data.rule)].said,
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


async def acted(res: Resources, me: uuid.UUID, form: Form, now: datetime) -> None:
    """After what a form did: the insight that offered it (`insight`, if one did) has been acted on."""
    if (insight_id := form.id("insight")) is not None:
        await note_acted(res, me, insight_id, now)


@router.post("/insights/{insight_id}/dismiss")
async def post_dismiss(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    form = await read_form(request)
    await answer(res, me, insight_id, "dismissed", now)
    said = f"Dismissed: it stays quiet for {res.config.insight_quiet_days} days."
    return go(request, form.get("next"), said, undo=_undo(insight_id))


@router.post("/insights/{insight_id}/act")
async def post_act(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    """Done, by whatever means."""
    form = await read_form(request)
    await answer(res, me, insight_id, "acted", now)
    said = "Noted as done: it comes back only if its cause still holds in a week."
    return go(request, form.get("next"), said, undo=_undo(insight_id))


@router.post("/insights/{insight_id}/snooze")
async def post_snooze(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    form = await read_form(request)
    await snooze(res, me, insight_id, Snooze.model_validate({"days": 7}), now)
    said = "Put off: it comes back in a week, if it still holds."
    return go(request, form.get("next"), said, undo=_undo(insight_id))


@router.post("/insights/{insight_id}/reopen")
async def post_reopen(request: Request, me: Visitor, res: Res, now: Now, insight_id: PathId) -> Response:
    form = await read_form(request)
    await reopen(res, me, insight_id, now)
    return go(request, form.get("next"), "It is back among what needs attention.")


def _undo(insight_id: int) -> str:
    return f"/app/insights/{insight_id}/reopen"

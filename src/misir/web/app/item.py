"""One item: its text, why it is where it is, what is like it, its history, and how to put it right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.library.correct import delete_artifact, patch_artifact, restore_artifact
from misir.library.explain import Explanation, MoveOfArtifact, explain
from misir.library.schemas import ArtifactDetail, ArtifactPatch, SignalItem
from misir.library.views import get_artifact
from misir.orient.reading import EngagementLevel
from misir.spaces.undo import undo_correction
from misir.spaces.views import get_space, list_subspaces
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show
from misir.web.app.why_item import reasons_of_item

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.get("/items/{artifact_id}")
async def get_item(request: Request, me: Visitor, res: Res, now: Now, artifact_id: PathId) -> Response:
    item = await get_artifact(res, me, artifact_id, now)
    space = await get_space(res.database, me, item.space_id, now)
    topics = await list_subspaces(res.database, me, item.space_id, limit=100)
    why = await explain(res, me, artifact_id)
    values = {
        "item": item,
        "space": space,
        "topics": {topic.id: topic.name for topic in topics},
        "open_topics": [topic for topic in topics if topic.state != "retired"],
        "why": why,
        "reasons": reasons_of_item(item, why, res.config, res.embedder.calibration, now),
        "timeline": tell_timeline(item, why),
        "strip": draw_strip(item.signals, now),
        "levels": [level for level in EngagementLevel if level.rank >= item.engagement_level.rank],
    }
    return await show(request, me, "app/item.html", values, page="space", space_id=item.space_id)


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened to an item: a visit, or a correction that moved it."""

    at: datetime
    visit: SignalItem | None = None
    move: MoveOfArtifact | None = None


def tell_timeline(item: ArtifactDetail, why: Explanation) -> list[Moment]:
    """PURE: visits and moves in one order, newest first."""
    visits = [Moment(one.occurred_at, visit=one) for one in item.signals]
    moves = [Moment(one.created_at, move=one) for one in why.corrections]
    return sorted([*visits, *moves], key=lambda one: one.at, reverse=True)


@dataclass(frozen=True, slots=True)
class Dot:
    """A visit on the strip: its place, 0..600, and how far it went, 0..3."""

    x: float
    depth: int
    at: datetime


def draw_strip(visits: Sequence[SignalItem], now: datetime) -> list[Dot]:
    """PURE: visits from the first one known to now; nothing for a single one, which has no course."""
    if len(visits) < 2:
        return []
    first = min(one.occurred_at for one in visits)
    seconds = max((now - first).total_seconds(), 1.0)
    return [
        Dot(
            8 + 584 * min((one.occurred_at - first).total_seconds() / seconds, 1.0),
            one.engagement_level.rank,
            one.occurred_at,
        )
        for one in reversed(visits)
    ]


@router.post("/items/{artifact_id}/move")
async def post_move(request: Request, me: Visitor, res: Res, now: Now, artifact_id: PathId) -> Response:
    """To another topic (`topic`, or `none` of them) or to another space (`space`)."""
    form = await read_form(request)
    changed = await patch_artifact(res, me, artifact_id, patch_of(_destination(form)), now)
    if changed.correction_id is None:
        return go(request, form.get("next"), "It is there already.")
    undo = f"/app/corrections/{changed.correction_id}/undo"
    said = "Moved. Its topics have learned from it."
    return go(request, form.get("next"), said, undo=undo, changes=changed.topics)


def _destination(form: Form) -> dict[str, Any]:
    if form.get("topic") == "none":
        return {"subspace_id": None}
    if (topic_id := form.id("topic")) is not None:
        return {"subspace_id": topic_id}
    return {"space_id": form.id("space")}


def patch_of(fields: dict[str, Any]) -> ArtifactPatch:
    """Raises MisirError 422 with a sentence for what cannot be changed so."""
    try:
        return ArtifactPatch.model_validate(fields)
    except ValidationError as error:
        raise invalid(_say(error)) from None


def _say(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{' '.join(str(part) for part in first['loc']) or 'The form'}: {first['msg']}."


@router.post("/items/{artifact_id}/edit")
async def post_edit(request: Request, me: Visitor, res: Res, now: Now, artifact_id: PathId) -> Response:
    """A title, or how far it was read."""
    form = await read_form(request)
    fields = {"title": form.get("title"), "engagement_level": form.get("level")}
    await patch_artifact(res, me, artifact_id, patch_of({k: v for k, v in fields.items() if v}), now)
    return go(request, form.get("next"), "Saved.")


@router.post("/items/{artifact_id}/delete")
async def post_delete(request: Request, me: Visitor, res: Res, now: Now, artifact_id: PathId) -> Response:
    form = await read_form(request)
    changes = await delete_artifact(res, me, artifact_id, now)
    undo = f"/app/items/{artifact_id}/restore"
    return go(request, form.get("next"), "Deleted.", undo=undo, changes=changes)


@router.post("/items/{artifact_id}/restore")
async def post_restore(request: Request, me: Visitor, res: Res, now: Now, artifact_id: PathId) -> Response:
    await read_form(request)
    await restore_artifact(res, me, artifact_id, now)
    return go(request, f"/app/items/{artifact_id}", "It is back, and its topic has learned it again.")


@router.post("/corrections/{correction_id}/undo")
async def post_undo(request: Request, me: Visitor, res: Res, now: Now, correction_id: PathId) -> Response:
    form = await read_form(request)
    undone = await undo_correction(res, me, correction_id, now)
    return go(request, form.get("next"), undone.message, changes=undone.topics)

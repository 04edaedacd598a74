"""Many items of a library at once: into a topic, into another space, into the trash; with one way back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.library.bulk import change_artifacts
from misir.library.schemas import Bulk
from misir.web.app.attention import acted
from misir.web.app.forms import Form, read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.post("/bulk")
async def post_bulk(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    form = await read_form(request)
    done = await change_artifacts(res, me, read_bulk(form), now)
    await acted(res, me, form, now)
    undo = f"/app/corrections/{done.correction_ids[0]}/undo" if len(done.correction_ids) == 1 else None
    return go(request, form.get("next"), done.message, undo=undo, changes=done.topics)


def read_bulk(form: Form) -> Bulk:
    """What the form says to do. Raises MisirError 422 in words."""
    ids, action = form.ids("item"), form.get("do")
    if not ids:
        raise invalid("Choose at least one item first.")
    sent: dict[str, Any] = {"action": action, "artifact_ids": ids}
    if action == "assign":
        sent["subspace_id"] = None if form.get("topic") == "none" else form.id("topic")
    elif action == "move":
        sent["space_id"] = form.id("space")
    try:
        return Bulk.model_validate(sent)
    except ValidationError:
        raise invalid("Choose what to do with these items, and where they should go.") from None

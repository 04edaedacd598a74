"""A space's own form: its name, what it is for, what was corrected in it, and putting it away."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.resources import Resources
from misir.spaces.keep import delete_space, patch_space, restore_space
from misir.spaces.schemas import Correction, SpacePatch, Subspace
from misir.spaces.undo import WAYS_BACK
from misir.spaces.views import get_space, list_corrections, list_subspaces
from misir.web.app.attention import acted
from misir.web.app.forms import read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, go, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


N_CORRECTIONS: Final = 20
N_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Told:
    """A correction as a page tells it: with the items and topics it touched, by id and name."""

    correction: Correction
    items: list[tuple[int, str]]
    topics: list[tuple[int, str]]
    can_undo: bool


@router.get("/spaces/{space_id}/edit")
async def get_edit(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    space = await get_space(res.database, me, space_id, now)
    made = await list_corrections(res.database, me, space_id, limit=N_CORRECTIONS)
    topics = await list_subspaces(res.database, me, space_id, limit=100)
    values = {
        "space": space,
        "corrections": await tell_corrections(res, me, made.corrections, topics, now),
        "tab": "edit",
    }
    return await show(request, me, "app/edit.html", values, page="space", space_id=space_id)


async def tell_corrections(
    res: Resources, me: uuid.UUID, made: Sequence[Correction], topics: Sequence[Subspace], now: datetime
) -> list[Told]:
    """Corrections with the names of what they touched, and whether each can still be taken back."""
    named = sorted({one for correction in made for one in correction.artifact_ids[:N_NAMED]})
    async with res.database.as_user(me) as tx:
        rows = await (await tx.ask(SQL.list_titles, artifact_ids=named)).fetchall()
    titles, names = {row["id"]: row["title"] for row in rows}, {topic.id: topic.name for topic in topics}
    since = now - timedelta(days=res.config.undo_days)
    return [
        Told(
            one,
            [(item, titles[item]) for item in one.artifact_ids[:N_NAMED] if item in titles],
            [(topic, names[topic]) for topic in one.subspace_ids if topic in names],
            can_undo=one.kind not in WAYS_BACK and one.undone_by is None and one.created_at > since,
        )
        for one in made
    ]


@router.post("/spaces/{space_id}/edit")
async def post_edit(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Fields of the form; an empty intention or description is none."""
    form = await read_form(request)
    sent = {"name": form.get("name"), "intention": form.get("intention")}
    sent |= {"description": form.get("description"), "color": form.get("color")}
    try:
        patch = SpacePatch.model_validate(sent)
    except ValidationError:
        raise invalid("A space needs a name of 200 characters at most, and a colour.") from None
    await patch_space(res, me, space_id, patch, now)
    return go(request, f"/app/spaces/{space_id}", "Saved.")


@router.post("/spaces/{space_id}/archive")
async def post_archive(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Read-only from now on."""
    form = await read_form(request)
    await patch_space(res, me, space_id, SpacePatch.model_validate({"archived": True}), now)
    await acted(res, me, form, now)
    said, undo = "Archived: it can be read and takes nothing in.", f"/app/spaces/{space_id}/open"
    return go(request, f"/app/spaces/{space_id}", said, undo=undo)


@router.post("/spaces/{space_id}/open")
async def post_open(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    await read_form(request)
    await patch_space(res, me, space_id, SpacePatch.model_validate({"archived": False}), now)
    return go(request, f"/app/spaces/{space_id}", "Open again.")


@router.post("/spaces/{space_id}/delete")
async def post_delete(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    """Into the trash for 30 days."""
    await read_form(request)
    await delete_space(res, me, space_id, now)
    said = "Deleted. It stays in the trash for 30 days."
    return go(request, "/app", said, undo=f"/app/spaces/{space_id}/restore")


@router.post("/spaces/{space_id}/restore")
async def post_restore(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    await read_form(request)
    await restore_space(res, me, space_id, now)
    return go(request, f"/app/spaces/{space_id}", "It is back, as it was.")

"""A space's own form: its name, what it is for, and putting it away."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.fields import PathId
from misir.spaces.keep import delete_space, patch_space, restore_space
from misir.spaces.schemas import SpacePatch
from misir.spaces.views import get_space
from misir.web.app.forms import read_form
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)


@router.get("/spaces/{space_id}/edit")
async def get_edit(request: Request, me: Visitor, res: Res, now: Now, space_id: PathId) -> Response:
    values = {"space": await get_space(res.database, me, space_id, now), "tab": "edit"}
    return await show(request, me, "app/edit.html", values, page="space", space_id=space_id)


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
    await read_form(request)
    await patch_space(res, me, space_id, SpacePatch.model_validate({"archived": True}), now)
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

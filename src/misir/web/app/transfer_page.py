"""Settings, import and export: bring what other programs know of one's reading, and take everything away."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import Response

from misir.deps import Now, Res
from misir.errors import invalid
from misir.exports.routes import get_export
from misir.fields import PathId
from misir.forms import is_form, sent_form
from misir.imports import start
from misir.imports.schemas import DryRun
from misir.imports.source import opened_source
from misir.resources import Resources
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace
from misir.web.app.forms import Form, read_form, require_ours, require_same_site
from misir.web.app.session import Visitor
from misir.web.app.shell import PageRoute, go, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

ADDRESS: Final = "/app/settings/transfer"
N_RUNS: Final = 10
N_REFUSED: Final = 50
GOING_ON: Final = {"waiting", "running", "fetching", "undoing"}
STATES: Final = {
    "waiting": "waits for its turn",
    "running": "is coming in",
    "fetching": "is in; texts are being fetched",
    "done": "is in",
    "failed": "failed",
    "undoing": "is being taken back",
    "undone": "was taken back",
}


@asynccontextmanager
async def sent_file(request: Request) -> AsyncIterator[tuple[Form, UploadFile]]:
    """A form with a file, once it is certain that a page of ours sent it. Raises MisirError 403 and 422."""
    require_same_site(request)
    if not is_form(request):
        raise invalid("Choose a file first.")
    async with sent_form(request) as (fields, file):
        form = Form(list(fields.items()))
        require_ours(request, form)
        if not file.filename:
            raise invalid("Choose a file first.")
        yield form, file


@router.get("/settings/transfer")
async def get_transfer(request: Request, me: Visitor, res: Res) -> Response:
    return await _show(request, me, res, None)


@router.post("/settings/transfer")
async def post_import(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    """A file: looked at (`do`: look), or taken in by the worker."""
    async with sent_file(request) as (form, file), start.on_disk(file.file, file.filename or "") as upload:
        space_id = None if form.get("space") == "own" else form.id("space")
        if form.get("do") == "look":
            seen = await start.look_at(res, me, upload, space_id=space_id, wanted=None)
            return await _show(request, me, res, seen)
        fetch = form.get("fetch") == "yes"
        run = await start.start_import(
            res, me, upload, now, space_id=space_id, wanted=None, is_fetching=fetch
        )
    return go(request, f"{ADDRESS}/{run.id}")


@router.post("/start/import")
async def post_start(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    """Onboarding from a file: a space named `name`, and everything in the file into it."""
    async with sent_file(request) as (form, file), start.on_disk(file.file, file.filename or "") as upload:
        async with opened_source(upload.path, None) as source:  # refuses before there is a space
            brings_spaces = source.format == "misir"
        space_id = None if brings_spaces else (await create_space(res, me, _space(form), now)).id
        run = await start.start_import(
            res, me, upload, now, space_id=space_id, wanted=None, is_fetching=False
        )
    return go(request, f"{ADDRESS}/{run.id}")


def _space(form: Form) -> NewSpace:
    try:
        return NewSpace.model_validate({"name": form.get("name"), "intention": form.get("intention")})
    except ValidationError:
        raise invalid("A space needs a name of 200 characters at most.") from None


@router.get("/settings/transfer/{import_id}")
async def get_run(request: Request, me: Visitor, res: Res, import_id: PathId) -> Response:
    """How far one import is; the page asks again by itself until it is done."""
    cursor = request.query_params.get("cursor") or None
    run = await start.get_import(res, me, import_id, limit=N_REFUSED, cursor=cursor)
    values = {"run": run, "is_going_on": run.state in GOING_ON, "states": STATES, "tab": "transfer"}
    return await show(request, me, "app/import.html", values, page="settings")


@router.post("/settings/transfer/{import_id}/undo")
async def post_undo(request: Request, me: Visitor, res: Res, now: Now, import_id: PathId) -> Response:
    await read_form(request)
    await start.undo_import(res, me, import_id, now)
    said = "It is being taken back, but for what you read or placed yourself since."
    return go(request, f"{ADDRESS}/{import_id}", said)


@router.get("/settings/export")
async def get_file(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    """The API's export, for whoever has a session and no key. `space` empty: all of them."""
    space = request.query_params.get("space", "")
    space_id = Form([("space", space)]).id("space") if space else None
    is_list = request.query_params.get("format") == "bookmarks"
    return await get_export(me, res, now, "bookmarks" if is_list else "jsonl", space_id)


async def _show(request: Request, me: uuid.UUID, res: Resources, seen: DryRun | None) -> Response:
    listed = await start.list_imports(res, me, limit=N_RUNS, cursor=None)
    values: dict[str, Any] = {"runs": listed.imports, "seen": seen, "states": STATES, "tab": "transfer"}
    return await show(request, me, "app/transfer.html", values, page="settings")

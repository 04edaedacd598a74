"""/imports: what other programs know of one's reading, and what an export of Misir holds."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.errors import invalid
from misir.fields import Id, PathId
from misir.forms import checked_body, described, is_form, sent_form
from misir.gate import gated_router
from misir.idempotency import Key, read_key, receipt_of
from misir.imports import start
from misir.imports.formats import Format
from misir.imports.schemas import DryRun, ImportDetail, ImportList, ImportRun, Outcome
from misir.receipt import NO_RECEIPT

router = gated_router(tag="account")

Limit = Annotated[int, Query(ge=1, le=100)]


class ImportRequest(BaseModel):
    """The fields beside the file."""

    space_id: Id | None = Field(
        None,
        description="Where the entries go. Left out only for an export of Misir, which brings its spaces.",
    )
    format: Format | None = Field(None, description="Found out when missing.")
    fetch: bool = Field(False, description="Fetch the text of pages that come with a title only.")
    dry_run: bool = Field(False, description="Say what would come in, and keep nothing.")
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


STARTED: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRun, "description": "The answer to `dry_run`."},
    202: {"model": ImportRun, "description": "The worker takes it in; ask for its progress."},
    **problems(404, 409, 413),
}


@router.post(
    "/imports",
    status_code=202,
    response_model=ImportRun,
    responses=STARTED,
    openapi_extra=described(files=(ImportRequest,)),
)
async def post_import(
    me: Me, res: Res, now: Now, request: Request, idempotency_key: Key = None
) -> ImportRun | DryRun | Response:
    """Import bookmarks, a browser's history, another reading app's export, notes, or an export of Misir."""
    if not is_form(request):
        raise invalid("The body cannot be read: send a form (multipart/form-data) with the file.")
    key = read_key(idempotency_key)
    async with sent_form(request) as (fields, file):
        body = checked_body(ImportRequest, fields)
        require_same_user(res, me, body.user_id)
        async with start.on_disk(file.file, file.filename or "") as upload:
            if body.dry_run:
                seen = await start.look_at(res, me, upload, space_id=body.space_id, wanted=body.format)
                return Response(seen.model_dump_json(), media_type="application/json")
            said = hashlib.sha256(upload.digest + body.model_dump_json().encode()).digest()
            once = receipt_of(request, me, res, now, key, said) if key else NO_RECEIPT
            async with once.turn():
                run = await start.start_import(
                    res,
                    me,
                    upload,
                    now,
                    space_id=body.space_id,
                    wanted=body.format,
                    is_fetching=body.fetch,
                    receipt=once,
                )
    return once.kept or run


@router.get("/imports", responses=problems())
async def list_imports(me: Me, res: Res, limit: Limit = 50, cursor: str | None = None) -> ImportList:
    """All imports, newest first."""
    return await start.list_imports(res, me, limit=limit, cursor=cursor)


@router.get("/imports/{import_id}", responses=problems(404))
async def get_import(
    me: Me,
    res: Res,
    import_id: PathId,
    limit: Limit = 50,
    cursor: str | None = None,
    outcome: Outcome | None = None,
) -> ImportDetail:
    """How far it is, and which entries did not come in and why."""
    return await start.get_import(res, me, import_id, limit=limit, cursor=cursor, outcome=outcome)


@router.post("/imports/{import_id}/undo", status_code=202, responses=problems(404))
async def undo_import(me: Me, res: Res, now: Now, import_id: PathId) -> ImportRun:
    """Stop it and take back what it brought, but for what was read or placed by hand since."""
    return await start.undo_import(res, me, import_id, now)

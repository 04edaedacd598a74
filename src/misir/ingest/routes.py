"""POST /artifacts/ingest: an address that Misir fetches, or a file that it reads."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Request, Response

from misir.capture.schemas import Captured
from misir.deps import Me, Now, Res, problems, require_same_user
from misir.errors import MisirError, invalid
from misir.forms import checked_body, described, is_form, sent_form
from misir.gate import gated_router
from misir.ingest.fetch import MAX_BYTES, kind_of
from misir.ingest.ingest import ingest_file, ingest_url
from misir.ingest.schemas import FetchRequest, UploadRequest

router = gated_router(tag="capture")


INGESTED: dict[int | str, dict[str, Any]] = {
    200: {"model": Captured},
    202: {
        "model": Captured,
        "description": "Read and kept: the embedding model is away, it is placed later.",
    },
    **problems(404, 409, 413),
}


@router.post(
    "/artifacts/ingest",
    status_code=201,
    response_model=Captured,
    responses=INGESTED,
    openapi_extra=described(("application/json", FetchRequest), files=(UploadRequest,)),
)
async def post_ingest(me: Me, res: Res, now: Now, request: Request, response: Response) -> Captured:
    """Fetch a page (`{space_id, url}`) or read a PDF, HTML, text or markdown file sent as a form."""
    if is_form(request):
        async with sent_form(request) as (fields, file):
            data = await file.read(MAX_BYTES + 1)
            name, media_type = file.filename or "", file.content_type or ""
        if len(data) > MAX_BYTES:
            raise MisirError(413, "too-large", f"The file is larger than {MAX_BYTES // 1024**2} MiB.")
        if not data:
            raise invalid("file: is empty.")
        body = checked_body(UploadRequest, {"url": _address_of(data, name), **_typed(fields)})
        require_same_user(res, me, body.user_id)
        captured = await ingest_file(res, me, body, data, kind_of(data, media_type, name), now)
    else:
        wanted = checked_body(FetchRequest, _json(await request.body()))
        require_same_user(res, me, wanted.user_id)
        captured = await ingest_url(res, me, wanted, now)
    response.status_code = 202 if captured.pending else 201 if captured.is_new else 200
    return captured


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("The body cannot be read: send JSON in UTF-8, or a form with a file.") from None


def _typed(fields: dict[str, str]) -> dict[str, Any]:
    """A form knows text only: numbers, true, false and lists are read as JSON; names and addresses never."""
    texts = {"url", "title", "user_id", "captured_at", "content_source", "engagement_level", "signal_type"}
    return {name: value if name in texts else _value(value) for name, value in fields.items()}


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _address_of(data: bytes, name: str) -> str:
    """The same file is the same artifact, whoever names it what."""
    shown = quote("".join(c for c in name if c.isprintable())[-100:] or "file", errors="replace")
    return f"file:///upload/{hashlib.sha256(data).hexdigest()[:32]}/{shown}"

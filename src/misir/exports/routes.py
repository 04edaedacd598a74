"""/export: everything one has here, to take away."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import StreamingResponse

from misir.deps import Me, Now, Res, problems
from misir.exports.stream import Format, export_bookmarks, export_lines, open_export
from misir.fields import Id
from misir.gate import gated_router

router = gated_router(tag="account")

EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of lines.",
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/html": {"schema": {"type": "string"}},
        },
    },
    **problems(404),
}


@router.get("/export", responses=EXPORTED, response_class=StreamingResponse)
async def get_export(
    me: Me,
    res: Res,
    now: Now,
    file_format: Annotated[
        Format,
        Query(
            alias="format",
            description="jsonl: all of it, as POST /imports takes it; bookmarks: an HTML file.",
        ),
    ] = "jsonl",
    space_id: Annotated[Id | None, Query(description="Only this space.")] = None,
) -> StreamingResponse:
    """All spaces, topics, markers, sessions, artifacts with their text, signals, corrections and settings."""
    bounds = await open_export(res, me, space_id)
    name = f"misir-{now:%Y-%m-%d}"
    if file_format == "bookmarks":
        lines, media_type, name = export_bookmarks(res, me, space_id, bounds), "text/html", f"{name}.html"
    else:
        lines, media_type = export_lines(res, me, space_id, bounds, now), "application/x-ndjson"
        name = f"{name}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=media_type, headers=headers)

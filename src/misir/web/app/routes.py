"""The pages of the app, gathered: one router for `/app`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.errors import MisirError, not_found
from misir.web.app import (
    attention,
    bulk,
    door,
    everything,
    find,
    home,
    insights_page,
    item,
    keep,
    map_page,
    settings_page,
    space,
    start,
    topics,
)
from misir.web.app.shell import PageRoute, refuse

router = APIRouter(include_in_schema=False, route_class=PageRoute)
ROOMS = (
    door,
    home,
    everything,
    find,
    attention,
    bulk,
    item,
    insights_page,
    map_page,
    keep,
    settings_page,
    space,
    start,
    topics,
)
for room in ROOMS:
    router.include_router(room.router)


@router.get("/app/{anything:path}")
async def get_nothing(request: Request, anything: str) -> Response:
    """No such page, said on a page."""
    del anything
    problem: MisirError = not_found("This page")
    return await refuse(request, problem)

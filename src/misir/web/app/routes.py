"""The pages of the app, gathered: one router for `/app`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.errors import not_found
from misir.web.app import (
    attention,
    away_page,
    bulk,
    door,
    engine_page,
    everything,
    find,
    home,
    hooks_page,
    insights_page,
    item,
    keep,
    map_page,
    settings_page,
    space,
    start,
    topics,
    transfer_page,
)
from misir.web.app.shell import PageRoute, refuse

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
    hooks_page,
    engine_page,
    away_page,
    space,
    start,
    topics,
    transfer_page,
)
router = APIRouter(include_in_schema=False, route_class=PageRoute)
for room in ROOMS:  # their own objects, so that each is found by look-up
    router.routes.extend(room.router.routes)


async def get_nothing(request: Request) -> Response:
    """No such page, said on a page."""
    return await refuse(request, not_found("This page"))


for path in ("/app/{one}", "/app/{one}/{two}", "/app/{one}/{two}/{three}"):  # after all that there is
    router.add_api_route(path, get_nothing, methods=["GET"])

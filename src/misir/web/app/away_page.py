"""What was put away and can come back: archived spaces, deleted spaces, deleted items."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.deps import Now, Res
from misir.spaces.views import list_spaces
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, show

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

N_SHOWN: Final = 100
KEPT_DAYS: Final = 30


@router.get("/away")
async def get_away(request: Request, me: Visitor, res: Res, now: Now) -> Response:
    archived = await list_spaces(res.database, me, now, limit=N_SHOWN, archived=True)
    deleted = await list_spaces(res.database, me, now, limit=N_SHOWN, deleted=True)
    async with res.database.as_user(me) as tx:
        items = await (await tx.ask(SQL.list_trashed_items, limit=N_SHOWN)).fetchall()
    values = {"archived": archived.spaces, "deleted": deleted.spaces, "items": items, "kept_days": KEPT_DAYS}
    return await show(request, me, "app/away.html", values, page="away")

"""/insights, and the alerts of a space."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import MAX_ID, Moment, PathId
from misir.gate import gated_router
from misir.insights import views
from misir.insights.schemas import AlertList, FlatAlert, Generated, Insight, Snooze
from misir.paging import next_link

router = gated_router(tag="insights")

AsOf = Annotated[
    Moment | None, Query(description="As the rules would have said then; nothing is kept of it.")
]


@router.get("/insights", responses=problems())
async def list_insights(
    me: Me,
    res: Res,
    now: Now,
    request: Request,
    response: Response,
    status: Literal["active", "dismissed", "acted", "snoozed", "expired", "all"] = "active",
    space_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
) -> list[Insight]:
    """What the rules found, newest first. The next page is in the Link header."""
    chosen = None if status == "all" else status
    insights, next_cursor = await views.list_insights(
        res, me, now, status=chosen, space_id=space_id, limit=limit, cursor=cursor
    )
    if next_cursor is not None:
        response.headers["Link"] = next_link(request, next_cursor)
    return insights


@router.post("/insights/generate", responses=problems())
async def post_generate(me: Me, res: Res, now: Now) -> Generated:
    """Look at everything now. The same cause is the same insight, however often it is found."""
    return await views.generate(res, me, now)


@router.post("/insights/{insight_id}/dismiss", responses=problems(404))
async def post_dismiss(me: Me, res: Res, now: Now, insight_id: PathId) -> Insight:
    """Not interesting: quiet for 7 days."""
    return await views.answer(res, me, insight_id, "dismissed", now)


@router.post("/insights/{insight_id}/act", responses=problems(404))
async def post_act(me: Me, res: Res, now: Now, insight_id: PathId) -> Insight:
    """Done something about it: quiet for 7 days, and gone for good once its cause is."""
    return await views.answer(res, me, insight_id, "acted", now)


@router.post("/insights/{insight_id}/snooze", responses=problems(404, 413))
async def post_snooze(me: Me, res: Res, now: Now, insight_id: PathId, body: Snooze | None = None) -> Insight:
    """Later: active again when the time is over."""
    asked = body or Snooze.model_validate({})
    require_same_user(res, me, asked.user_id)
    return await views.snooze(res, me, insight_id, asked, now)


@router.post("/insights/{insight_id}/reopen", responses=problems(404))
async def post_reopen(me: Me, res: Res, now: Now, insight_id: PathId) -> Insight:
    """Take a dismissal, an act or a snooze back: active again at once."""
    return await views.reopen(res, me, insight_id, now)


@router.get("/spaces/{space_id}/alerts", responses=problems(404))
async def list_alerts(me: Me, res: Res, now: Now, space_id: PathId, as_of: AsOf = None) -> AlertList:
    """The rules that hold in the space, with their evidence and what can be done."""
    return await views.list_alerts(res, me, space_id, now, as_of)


@router.get("/spaces/{space_id}/analytics/alerts", responses=problems(404))
async def list_flat_alerts(
    me: Me, res: Res, now: Now, space_id: PathId, as_of: AsOf = None
) -> list[FlatAlert]:
    """The same, as a flat array."""
    return views.flat(await views.list_alerts(res, me, space_id, now, as_of))

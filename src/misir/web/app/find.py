"""Search over all spaces, as one types."""

from __future__ import annotations

import uuid
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from misir.deps import Res, spend
from misir.limits import API, bucket_of
from misir.resources import Resources
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, show
from misir.web.app.why_item import why_found
from misir.web.home import Question, ask, explain_match

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

SUGGESTIONS: Final = f"{API}/search/suggestions"


@router.get("/search")
async def get_search(request: Request, me: Visitor, res: Res) -> Response:
    """What was asked and what was found; a page without a question says how to ask."""
    question, topics = None, dict[int, str]()
    if request.query_params.get("q", "").strip():
        await _spend(request, res, me)
        question = await ask(res, me, request.query_params)
        topics = await _name_topics(res, me, question)
    calibration = res.embedder.calibration
    values = {
        "question": question,
        "more": _more(question),
        "topics": topics,
        "explain": lambda hit: explain_match(hit, calibration),
        "why_found": lambda hit, mode: why_found(hit, mode, calibration, res.config),
    }
    status = question.problem.status if question and question.problem else 200
    return await show(request, me, "app/search.html", values, page="search", status=status)


async def _spend(request: Request, res: Resources, me: uuid.UUID) -> None:
    """A search while somebody types counts as a suggestion does."""
    if res.limiter is not None:
        await spend(res.limiter, request.scope, bucket_of(res.settings, me, "GET", SUGGESTIONS, {}))


async def _name_topics(res: Resources, me: uuid.UUID, question: Question) -> dict[int, str]:
    hits = question.answer.results if question.answer else []
    topic_ids = sorted({hit.subspace_id for hit in hits if hit.subspace_id is not None})
    if not topic_ids:
        return {}
    async with res.database.as_user(me) as tx:
        rows = await (await tx.ask(SQL.list_topics_of_spaces, topic_ids=topic_ids)).fetchall()
    return {row["id"]: row["name"] for row in rows}


def _more(question: Question | None) -> str | None:
    """The address of the next results."""
    if question is None or question.answer is None or question.answer.next_cursor is None:
        return None
    fields = {"q": question.q, "space_id": question.space_id, "cursor": question.answer.next_cursor}
    return "/app/search?" + urlencode({name: value for name, value in fields.items() if value is not None})

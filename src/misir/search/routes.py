"""GET and POST /search."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from misir.deps import Me, Res, problems, require_same_user
from misir.gate import gated_router
from misir.search.find import search
from misir.search.schemas import SearchAnswer, SearchRequest

router = gated_router(tag="search")


@router.get("/search", responses=problems(404))
async def get_search(me: Me, res: Res, asked: Annotated[SearchRequest, Query()]) -> SearchAnswer:
    """Find artifacts by meaning, by word, or by both (the default)."""
    return await search(res, me, asked)


@router.post("/search", responses=problems(404, 413))
async def post_search(me: Me, res: Res, asked: SearchRequest) -> SearchAnswer:
    """The same as a body; `space_ids` names several spaces."""
    require_same_user(res, me, asked.user_id)
    return await search(res, me, asked)

"""/spaces: declare a field of interest, and see what is in it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import Moment, PathId
from misir.gate import gated_router
from misir.idempotency import Once
from misir.spaces import views
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, Space, SpaceList, Subspace

router = gated_router(tag="spaces")

Limit = Annotated[int | None, Query(ge=1, le=100, description="Without it: everything, 5,000 at most.")]


@router.get("/spaces", responses=problems())
async def list_spaces(
    me: Me,
    res: Res,
    now: Now,
    limit: Limit = None,
    cursor: str | None = None,
    archived: bool = False,
    updated_since: Moment | None = None,
) -> SpaceList:
    """All spaces with their figures, in one query."""
    return await views.list_spaces(
        res.database, me, now, limit=limit, cursor=cursor, archived=archived, updated_since=updated_since
    )


@router.post("/spaces", status_code=201, response_model=Space, responses=problems(409, 413))
async def post_space(me: Me, res: Res, now: Now, body: NewSpace, once: Once) -> Space | Response:
    """Declare a space with its topics and their markers: one transaction, one embedding call."""
    require_same_user(res, me, body.user_id)
    async with once.turn():
        space = await create_space(res, me, body, now, once)
    return once.kept or space


@router.get("/spaces/{space_id}", responses=problems(404))
async def get_space(me: Me, res: Res, now: Now, space_id: PathId) -> Space:
    return await views.get_space(res.database, me, space_id, now)


@router.get("/spaces/{space_id}/subspaces", responses=problems(404))
async def list_subspaces(
    me: Me,
    res: Res,
    space_id: PathId,
    limit: Limit = None,
    include: Annotated[Literal["centroid"] | None, Query()] = None,
) -> list[Subspace]:
    """The topics of a space, largest first."""
    return await views.list_subspaces(
        res.database, me, space_id, limit=limit, with_centroid=include == "centroid"
    )

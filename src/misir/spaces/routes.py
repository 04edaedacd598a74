"""/spaces: declare a field of interest, and see what is in it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import Moment, PathId
from misir.gate import gated_router
from misir.idempotency import Once
from misir.spaces import keep, views
from misir.spaces.create import create_space
from misir.spaces.schemas import Deleted, NewSpace, Space, SpaceList, SpacePatch, Subspace, Timeline

router = gated_router(tag="spaces")

Limit = Annotated[int | None, Query(ge=1, le=100, description="Without it: everything, 5,000 at most.")]


@router.get("/spaces", responses=problems())
async def list_spaces(
    me: Me,
    res: Res,
    now: Now,
    limit: Limit = None,
    cursor: str | None = None,
    archived: Annotated[bool, Query(description="The archived ones instead.")] = False,
    deleted: Annotated[bool, Query(description="Those in the trash instead.")] = False,
    updated_since: Moment | None = None,
) -> SpaceList:
    """All spaces with their figures, in one query."""
    shown = {"archived": archived, "deleted": deleted}
    return await views.list_spaces(
        res.database, me, now, limit=limit, cursor=cursor, updated_since=updated_since, **shown
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


@router.patch("/spaces/{space_id}", responses=problems(404, 409, 413))
async def patch_space(me: Me, res: Res, now: Now, space_id: PathId, body: SpacePatch) -> Space:
    """Rename, describe, archive or open a space, or say what it is for."""
    require_same_user(res, me, body.user_id)
    await keep.patch_space(res, me, space_id, body, now)
    return await views.get_space(res.database, me, space_id, now)


@router.delete("/spaces/{space_id}", responses=problems(404))
async def delete_space(
    me: Me,
    res: Res,
    now: Now,
    space_id: PathId,
    purge: Annotated[bool, Query(description="For good, with everything in it.")] = False,
) -> Deleted:
    """Into the trash, from which POST …/restore brings it back within 30 days; or, with purge, for good."""
    if purge:
        await keep.purge_space(res, me, space_id)
        return Deleted(message="Purged: the space and everything in it are gone for good.")
    await keep.delete_space(res, me, space_id, now)
    return Deleted(message="Deleted. It can be restored within 30 days.")


@router.post("/spaces/{space_id}/restore", responses=problems(404))
async def restore_space(me: Me, res: Res, now: Now, space_id: PathId) -> Space:
    """Out of the trash, with everything that is in it."""
    await keep.restore_space(res, me, space_id, now)
    return await views.get_space(res.database, me, space_id, now)


@router.get("/spaces/{space_id}/timeline", responses=problems(404))
async def list_timeline(
    me: Me,
    res: Res,
    space_id: PathId,
    limit: Limit = None,
    cursor: str | None = None,
    updated_since: Moment | None = None,
) -> Timeline:
    """What came into the space, oldest first."""
    return await views.list_timeline(
        res.database, me, space_id, limit=limit, cursor=cursor, updated_since=updated_since
    )


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

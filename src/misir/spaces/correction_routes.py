"""Routes that reshape topics, and the log of corrections with its way back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import PathId
from misir.gate import gated_router
from misir.spaces import reshape
from misir.spaces.schemas import CorrectionList, MergeInto, Reshaped, SplitOff, Undone
from misir.spaces.undo import undo_correction
from misir.spaces.views import list_corrections

router = gated_router(tag="subspaces")


@router.post("/subspaces/{subspace_id}/merge", responses=problems(404, 409, 413))
async def post_merge(me: Me, res: Res, now: Now, subspace_id: PathId, body: MergeInto) -> Reshaped:
    """Put all of a topic into another, which learns as if it had always been there."""
    require_same_user(res, me, body.user_id)
    return await reshape.merge_topics(res, me, subspace_id, body.into, now)


@router.post("/subspaces/{subspace_id}/split", responses=problems(404, 409, 413))
async def post_split(
    me: Me, res: Res, now: Now, subspace_id: PathId, body: SplitOff | None = None
) -> Reshaped:
    """Make part of a topic a topic of its own; both learn as if it had always been so."""
    body = body or SplitOff.model_validate({})
    require_same_user(res, me, body.user_id)
    return await reshape.split_topic(
        res, me, subspace_id, now, artifact_ids=body.artifact_ids, name=body.name
    )


@router.post("/subspaces/{subspace_id}/retire", responses=problems(404, 409))
async def post_retire(me: Me, res: Res, now: Now, subspace_id: PathId) -> Reshaped:
    """The topic takes no more artifacts; those it has stay."""
    return await reshape.retire_topic(res, me, subspace_id, now)


@router.delete("/subspaces/{subspace_id}", responses=problems(404, 409))
async def delete_subspace(me: Me, res: Res, now: Now, subspace_id: PathId) -> Reshaped:
    """The topic goes; its artifacts stay in the space, unassigned. Can be undone."""
    return await reshape.retire_topic(res, me, subspace_id, now, is_deleted=True)


@router.get("/spaces/{space_id}/corrections", responses=problems(404))
async def get_corrections(
    me: Me,
    res: Res,
    space_id: PathId,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
) -> CorrectionList:
    """What was corrected in a space, by whom, and whether it still counts; newest first."""
    return await list_corrections(res.database, me, space_id, limit=limit, cursor=cursor)


@router.post("/corrections/{correction_id}/undo", responses=problems(404, 409))
async def post_undo(me: Me, res: Res, now: Now, correction_id: PathId) -> Undone:
    """Take a move, merge, split, retirement, deletion, restoration or consolidation back, within 30 days."""
    return await undo_correction(res, me, correction_id, now)

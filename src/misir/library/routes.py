"""/artifacts and a space's artifacts."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import MAX_ID, Moment, PathId, Text
from misir.gate import gated_router
from misir.library import correct, views
from misir.library.bulk import change_artifacts
from misir.library.explain import Explanation, explain
from misir.library.schemas import (
    ArtifactChanged,
    ArtifactDetail,
    ArtifactItem,
    ArtifactPage,
    ArtifactPatch,
    ArtifactTrashed,
    Bulk,
    BulkDone,
    SimilarArtifact,
    SpaceArtifacts,
)
from misir.orient.reading import ContentSource, EngagementLevel

router = gated_router(tag="artifacts")

Limit = Annotated[int, Query(ge=1, le=100)]
Fit = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
Sort = Literal[
    "recent", "oldest", "margin_desc", "margin_asc", "fit_desc", "fit_asc", "reading_time", "relevance"
]


@router.get("/artifacts", responses=problems())
async def list_artifacts(
    me: Me,
    res: Res,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(description="Empty: the first page as {items, next_cursor}.")] = None,
    updated_since: Moment | None = None,
) -> list[ArtifactItem] | ArtifactPage:
    """The newest captures: a bare array, or pages when `cursor` is sent."""
    page = await views.list_artifacts(
        res.database, me, limit=limit, cursor=cursor, updated_since=updated_since
    )
    return page.items if cursor is None else page


@router.get("/artifacts/{artifact_id}", responses=problems(404))
async def get_artifact(me: Me, res: Res, now: Now, artifact_id: PathId) -> ArtifactDetail:
    """One artifact with its text, its log, and what is similar."""
    return await views.get_artifact(res, me, artifact_id, now)


@router.patch("/artifacts/{artifact_id}", responses=problems(404, 409, 413))
async def patch_artifact(
    me: Me, res: Res, now: Now, artifact_id: PathId, body: ArtifactPatch
) -> ArtifactChanged:
    """Correct a title, a text, a level, or where the page belongs; its topics learn from it."""
    require_same_user(res, me, body.user_id)
    return await correct.patch_artifact(res, me, artifact_id, body, now)


@router.delete("/artifacts/{artifact_id}", responses=problems(404, 409))
async def delete_artifact(me: Me, res: Res, now: Now, artifact_id: PathId) -> ArtifactTrashed:
    """Into the trash; POST …/restore brings it back."""
    topics = await correct.delete_artifact(res, me, artifact_id, now)
    return ArtifactTrashed(message="Deleted. It can be restored.", topics=topics)


@router.post("/artifacts/bulk", responses=problems(404, 409, 413))
async def post_bulk(me: Me, res: Res, now: Now, body: Bulk) -> BulkDone:
    """Move, assign, delete or restore up to 500 artifacts: all of them or none. Can be undone."""
    require_same_user(res, me, body.user_id)
    return await change_artifacts(res, me, body, now)


@router.post("/artifacts/{artifact_id}/restore", responses=problems(404, 409))
async def restore_artifact(me: Me, res: Res, now: Now, artifact_id: PathId) -> ArtifactDetail:
    await correct.restore_artifact(res, me, artifact_id, now)
    return await views.get_artifact(res, me, artifact_id, now)


@router.get("/artifacts/{artifact_id}/explain", responses=problems(404))
async def explain_artifact(me: Me, res: Res, artifact_id: PathId) -> Explanation:
    """Every number behind the artifact's place: what was considered, what won, who had the last word."""
    return await explain(res, me, artifact_id)


@router.get("/artifacts/{artifact_id}/similar", responses=problems(404))
async def list_similar(me: Me, res: Res, artifact_id: PathId, limit: Limit = 10) -> list[SimilarArtifact]:
    return await views.list_similar(res, me, artifact_id, limit=limit)


@router.get("/spaces/{space_id}/artifacts", responses=problems(404))
async def list_space_artifacts(
    me: Me,
    res: Res,
    space_id: PathId,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Limit = 50,
    subspace_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    engagement_level: Annotated[list[EngagementLevel] | None, Query(max_length=4)] = None,
    min_fit: Fit = None,
    max_fit: Fit = None,
    min_margin: Fit = None,
    max_margin: Fit = None,
    source: ContentSource | None = None,
    domain: Annotated[Text | None, Query(max_length=253)] = None,
    from_at: Annotated[Moment | None, Query(alias="from")] = None,
    to_at: Annotated[Moment | None, Query(alias="to")] = None,
    q: Annotated[Text | None, Query(max_length=1000)] = None,
    sort: Sort = "recent",
) -> SpaceArtifacts:
    """A page of a space's library, filtered and sorted. `min_margin` and `margin_*` mean fit."""
    filters = views.Filters(
        subspace_id=subspace_id,
        levels=[level.value for level in engagement_level] if engagement_level else None,
        min_fit=min_margin if min_fit is None else min_fit,
        max_fit=max_margin if max_fit is None else max_fit,
        source=source,
        domain=domain,
        from_at=from_at,
        to_at=to_at,
        q=(q or "").strip() or None,
        sort=sort.replace("margin", "fit"),
    )
    return await views.list_space_artifacts(
        res.database, me, space_id, filters, page=page, page_size=page_size
    )

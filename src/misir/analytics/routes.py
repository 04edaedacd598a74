"""/analytics and a space's analytics: where attention goes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from misir.analytics import series, topology, views
from misir.analytics.diagnostics import Diagnostics, diagnose
from misir.analytics.schemas import (
    ConfidencePoint,
    DriftPoint,
    FocusHistory,
    GlobalAnalytics,
    MarginDistribution,
    SpaceAnalytics,
    Topology,
    VelocityPoint,
)
from misir.deps import Me, Now, Res, problems
from misir.fields import Moment, PathId
from misir.gate import gated_router
from misir.orient.pace import Granularity

router = gated_router(tag="analytics")

AsOf = Annotated[Moment | None, Query(description="Answer as of that time; without it, as of now.")]
Points = Annotated[int, Query(alias="limit", ge=1, le=100, description="Points of each topic.")]
From = Annotated[Moment | None, Query(alias="from")]
To = Annotated[Moment | None, Query(alias="to")]


@router.get("/analytics/global", responses=problems())
async def get_global_analytics(me: Me, res: Res, now: Now, as_of: AsOf = None) -> GlobalAnalytics:
    """All spaces together: focus, time, days, pace, what fits badly, and what was meant to be read."""
    return await views.global_analytics(res, me, now=now, as_of=as_of)


@router.get("/spaces/{space_id}/analytics", responses=problems(404))
async def get_space_analytics(
    me: Me, res: Res, now: Now, space_id: PathId, as_of: AsOf = None
) -> SpaceAnalytics:
    """One space: how deeply it is read, from where, what is known and what is not."""
    return await views.space_analytics(res, me, space_id, now=now, as_of=as_of)


@router.get("/spaces/{space_id}/analytics/margin_distribution", responses=problems(404))
async def get_margin_distribution(
    me: Me, res: Res, space_id: PathId, as_of: AsOf = None
) -> MarginDistribution:
    """How well the artifacts fit their topics."""
    return await views.margin_distribution(res, me, space_id, as_of=as_of)


@router.get("/spaces/{space_id}/analytics/focus", responses=problems(404))
async def get_focus_history(me: Me, res: Res, now: Now, space_id: PathId, as_of: AsOf = None) -> FocusHistory:
    """Focus, clarity and pace, week by week."""
    return await views.focus_history(res, me, space_id, now=now, as_of=as_of)


@router.get("/spaces/{space_id}/analytics/drift", responses=problems(404))
async def get_drift_series(
    me: Me,
    res: Res,
    space_id: PathId,
    from_at: From = None,
    to_at: To = None,
    min_magnitude: Annotated[float, Query(ge=0, le=2, allow_inf_nan=False)] = 0.0,
    points: Points = series.N_POINTS,
    as_of: AsOf = None,
) -> list[DriftPoint]:
    """When topics changed, by how much, and which page showed it; newest first."""
    return await series.drift_series(
        res,
        me,
        space_id,
        from_at=from_at,
        to_at=to_at,
        min_magnitude=min_magnitude,
        points=points,
        as_of=as_of,
    )


@router.get("/spaces/{space_id}/analytics/velocity", responses=problems(404))
async def get_velocity_series(
    me: Me,
    res: Res,
    now: Now,
    space_id: PathId,
    granularity: Granularity = Granularity.WEEK,
    points: Points = series.N_POINTS,
    as_of: AsOf = None,
) -> list[VelocityPoint]:
    """Items per week and angular speed of each topic; newest first, periods without reading included."""
    return await series.velocity_series(
        res, me, space_id, now=now, granularity=granularity, points=points, as_of=as_of
    )


@router.get("/spaces/{space_id}/analytics/confidence", responses=problems(404))
async def get_confidence_series(
    me: Me,
    res: Res,
    now: Now,
    space_id: PathId,
    from_at: From = None,
    points: Points = series.N_POINTS,
    as_of: AsOf = None,
) -> list[ConfidencePoint]:
    """How confident each topic was on the days on which it changed; newest first."""
    return await series.confidence_series(
        res, me, space_id, now=now, from_at=from_at, points=points, as_of=as_of
    )


@router.get("/spaces/{space_id}/topology", responses=problems(404))
async def get_topology(
    me: Me,
    res: Res,
    now: Now,
    space_id: PathId,
    artifacts: Annotated[bool, Query(description="Single artifacts, too.")] = False,
    as_of: AsOf = None,
) -> Topology:
    """The map of a space, and the frames of the last 90 days that lead to it."""
    return await topology.get_topology(res, me, space_id, now=now, as_of=as_of, with_artifacts=artifacts)


@router.get("/diagnostics", responses=problems())
async def get_diagnostics(me: Me, res: Res) -> Diagnostics:
    """How much there is, and what it runs on."""
    return await diagnose(res, me)

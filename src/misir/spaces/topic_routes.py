"""/subspaces: topics, their markers, their history and their life."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import Moment, PathId
from misir.gate import gated_router
from misir.library.schemas import Message
from misir.spaces import history, markers, topic_views
from misir.spaces.declare import declare_topic, patch_topic
from misir.spaces.schemas import Subspace
from misir.spaces.topic_schemas import History, LifeEvents, Marker, NewMarker, NewTopic, TopicPatch

router = gated_router(tag="subspaces")

Include = Annotated[Literal["centroid"] | None, Query()]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("/spaces/{space_id}/subspaces", status_code=201, responses=problems(404, 409, 413))
async def post_subspace(me: Me, res: Res, now: Now, space_id: PathId, body: NewTopic) -> Subspace:
    """Declare a topic in a space that is there already, with its markers."""
    require_same_user(res, me, body.user_id)
    topic_id = await declare_topic(res, me, space_id, body, now)
    return await topic_views.get_topic(res.database, me, topic_id)


@router.get("/subspaces/{subspace_id}", responses=problems(404))
async def get_subspace(me: Me, res: Res, subspace_id: PathId, include: Include = None) -> Subspace:
    return await topic_views.get_topic(res.database, me, subspace_id, with_centroid=include == "centroid")


@router.get("/spaces/{space_id}/subspaces/{subspace_id}", responses=problems(404))
async def get_subspace_of_space(
    me: Me, res: Res, space_id: PathId, subspace_id: PathId, include: Include = None
) -> Subspace:
    """The same topic, if it is in this space."""
    with_centroid = include == "centroid"
    return await topic_views.get_topic(
        res.database, me, subspace_id, space_id=space_id, with_centroid=with_centroid
    )


@router.patch("/subspaces/{subspace_id}", responses=problems(404, 409, 413))
async def patch_subspace(me: Me, res: Res, now: Now, subspace_id: PathId, body: TopicPatch) -> Subspace:
    """Rename, describe or pin a topic. A new name is an event in its life."""
    require_same_user(res, me, body.user_id)
    await patch_topic(res, me, subspace_id, body, now)
    return await topic_views.get_topic(res.database, me, subspace_id)


@router.patch("/spaces/{space_id}/subspaces/{subspace_id}", responses=problems(404, 409, 413))
async def patch_subspace_of_space(
    me: Me, res: Res, now: Now, space_id: PathId, subspace_id: PathId, body: TopicPatch
) -> Subspace:
    """The same, if the topic is in this space."""
    require_same_user(res, me, body.user_id)
    await patch_topic(res, me, subspace_id, body, now, space_id=space_id)
    return await topic_views.get_topic(res.database, me, subspace_id)


@router.get("/subspaces/{subspace_id}/markers", responses=problems(404))
async def list_markers(me: Me, res: Res, now: Now, subspace_id: PathId) -> list[Marker]:
    """The topic's markers, each as fresh as its last match."""
    return await markers.list_markers(res, me, subspace_id, now)


@router.post(
    "/subspaces/{subspace_id}/markers",
    status_code=201,
    responses={200: {"model": Marker}, **problems(404, 409, 413)},
)
async def post_marker(
    me: Me, res: Res, now: Now, subspace_id: PathId, body: NewMarker, response: Response
) -> Marker:
    """Declare a marker; the topic learns again as if it had always had it."""
    require_same_user(res, me, body.user_id)
    marker, is_new = await markers.add_marker(res, me, subspace_id, body, now)
    response.status_code = 201 if is_new else 200
    return marker


@router.delete("/subspaces/{subspace_id}/markers/{marker_id}", responses=problems(404, 409))
async def delete_marker(me: Me, res: Res, now: Now, subspace_id: PathId, marker_id: PathId) -> Message:
    """Take a marker from the topic, which learns again as if it had never had it."""
    await markers.remove_marker(res, me, subspace_id, marker_id, now)
    return Message(message="Removed. The topic no longer follows it.")


@router.get("/subspaces/{subspace_id}/history", responses=problems(404))
async def get_history(
    me: Me,
    res: Res,
    subspace_id: PathId,
    from_at: Annotated[Moment | None, Query(alias="from")] = None,
    to_at: Annotated[Moment | None, Query(alias="to")] = None,
) -> History:
    """How the topic stood on each day it changed, how fast it turned, and where it drifted."""
    return await history.get_history(res, me, subspace_id, from_at, to_at)


@router.get("/subspaces/{subspace_id}/events", responses=problems(404))
async def list_subspace_events(
    me: Me, res: Res, subspace_id: PathId, limit: Limit = 50, cursor: str | None = None
) -> LifeEvents:
    """What happened to the topic, newest first."""
    return await topic_views.list_topic_events(res.database, me, subspace_id, limit=limit, cursor=cursor)


@router.get("/spaces/{space_id}/events", responses=problems(404))
async def list_space_events(
    me: Me, res: Res, space_id: PathId, limit: Limit = 50, cursor: str | None = None
) -> LifeEvents:
    """What happened to the topics of a space, newest first."""
    return await topic_views.list_space_events(res.database, me, space_id, limit=limit, cursor=cursor)

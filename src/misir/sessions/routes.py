"""/sessions: sittings of reading."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.fields import Moment, PathId
from misir.gate import gated_router
from misir.sessions import sessions
from misir.sessions.schemas import NewSession, Session, SessionList, SessionPatch

router = gated_router(tag="sessions")


@router.get("/sessions", responses=problems())
async def list_sessions(
    me: Me,
    res: Res,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
    updated_since: Moment | None = None,
) -> SessionList:
    """Your sessions, newest first."""
    return await sessions.list_sessions(
        res.database, me, limit=limit, cursor=cursor, updated_since=updated_since
    )


@router.post("/sessions", status_code=201, responses={200: {"model": Session}, **problems(413)})
async def post_session(me: Me, res: Res, now: Now, body: NewSession, response: Response) -> Session:
    """Begin a session, or find the one with this external_id."""
    require_same_user(res, me, body.user_id)
    session, is_new = await sessions.begin_session(res.database, me, body, now)
    response.status_code = 201 if is_new else 200
    return session


@router.get("/sessions/{session_id}", responses=problems(404))
async def get_session(me: Me, res: Res, session_id: PathId) -> Session:
    return await sessions.get_session(res.database, me, session_id)


@router.patch("/sessions/{session_id}", responses=problems(404, 413))
async def patch_session(me: Me, res: Res, session_id: PathId, body: SessionPatch) -> Session:
    """End a session, or say what it came to."""
    require_same_user(res, me, body.user_id)
    return await sessions.patch_session(res.database, me, session_id, body)

"""/admin: acting on another user's library, by those who may, with a trace.

Everything happens in a transaction of the user it is about, under their row level security: an administrator
reaches one person's rows at a time, and nobody's by mistake.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from misir.admin import jobs, keys
from misir.admin.gate import SQL, current_admin
from misir.admin.jobs import JobItem, JobKind, JobPage, JobState
from misir.deps import Now, Res, problems
from misir.fields import PathId
from misir.library import correct, views
from misir.library.schemas import ArtifactChanged, ArtifactDetail, ArtifactPage, ArtifactPatch, Message

router = APIRouter(prefix="/api/v1/admin", tags=["admin"], dependencies=[Depends(current_admin)])

Limit = Annotated[int, Query(ge=1, le=100)]


class UserFigures(BaseModel):
    user_id: uuid.UUID
    space_count: int
    artifact_count: int
    last_activity_at: datetime | None


class UserPage(BaseModel):
    users: list[UserFigures]
    next_cursor: uuid.UUID | None


@router.get("/users", responses=problems())
async def list_users(res: Res, limit: Limit = 50, cursor: uuid.UUID | None = None) -> UserPage:
    """Everybody who has a space, with the size of their library."""
    async with res.database.as_service() as tx:
        rows = await (await tx.ask(SQL.list_users, after_user_id=cursor, limit=limit + 1)).fetchall()
    users = [UserFigures(**row) for row in rows]
    return UserPage(users=users[:limit], next_cursor=users[limit - 1].user_id if len(users) > limit else None)


@router.get("/users/{user_id}/artifacts", responses=problems())
async def list_artifacts(
    res: Res, user_id: uuid.UUID, limit: Limit = 50, cursor: str | None = None
) -> ArtifactPage:
    return await views.list_artifacts(res.database, user_id, limit=limit, cursor=cursor)


@router.get("/users/{user_id}/artifacts/{artifact_id}", responses=problems(404))
async def get_artifact(res: Res, now: Now, user_id: uuid.UUID, artifact_id: PathId) -> ArtifactDetail:
    return await views.get_artifact(res, user_id, artifact_id, now)


@router.patch("/users/{user_id}/artifacts/{artifact_id}", responses=problems(404, 409, 413))
async def patch_artifact(
    res: Res, now: Now, user_id: uuid.UUID, artifact_id: PathId, body: ArtifactPatch
) -> ArtifactChanged:
    """Correct another user's artifact, as they could themselves."""
    return await correct.patch_artifact(res, user_id, artifact_id, body, now)


@router.delete("/users/{user_id}/artifacts/{artifact_id}", responses=problems(404, 409))
async def delete_artifact(res: Res, now: Now, user_id: uuid.UUID, artifact_id: PathId) -> Message:
    """Into that user's trash; they can restore it."""
    await correct.delete_artifact(res, user_id, artifact_id, now)
    return Message(message="Deleted. Its owner can restore it.")


@router.get("/jobs", responses=problems())
async def list_jobs(
    res: Res,
    now: Now,
    limit: Limit = 50,
    cursor: str | None = None,
    kind: JobKind | None = None,
    state: JobState | None = None,
    user_id: uuid.UUID | None = None,
) -> JobPage:
    """Work that waits, is being done, or failed and why; in order of id."""
    return await jobs.list_jobs(
        res.database, now, limit=limit, cursor=cursor, kind=kind, state=state, owner_id=user_id
    )


@router.post("/jobs/{job_id}/retry", responses=problems(404))
async def retry_job(res: Res, now: Now, job_id: PathId) -> JobItem:
    """Due at once, as if it had never failed nor been cancelled."""
    return await jobs.retry_job(res, job_id, now)


@router.post("/jobs/{job_id}/cancel", responses=problems(404))
async def cancel_job(res: Res, now: Now, job_id: PathId) -> JobItem:
    """It rests until it is retried, or new work is left for it. One that is being done is not stopped."""
    return await jobs.cancel_job(res.database, job_id, now)


@router.post("/jwks/purge", responses=problems())
async def purge_keys(res: Res) -> Message:
    """Forget signing keys and verified tokens, in every process: after a key was revoked."""
    await keys.purge_keys(res)
    return Message(
        message=f"Forgotten here, and within {keys.LOOK_EVERY_S:.0f} seconds by every other process. "
        "The next token fetches the keys again."
    )

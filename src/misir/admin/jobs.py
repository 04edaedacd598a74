"""The queue, for administrators: what waits, what failed, once more, not now."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from misir.errors import not_found
from misir.paging import decode_id, encode_cursor
from misir.plumbing.db import Database
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.admin", "admin.sql")

JobKind = Literal["reflect", "embed", "deliver", "retain", "sweep", "import"]
JobState = Literal["waiting", "due", "running", "failed", "cancelled"]


class JobItem(BaseModel):
    """A job, by what it is for; no text of anybody's."""

    id: int
    kind: JobKind
    state: JobState = Field(description="failed: the last try failed, and run_at is the next.")
    user_id: uuid.UUID = Field(description="All zeros: the deployment's own.")
    space_id: int | None
    endpoint_id: int | None
    run_at: datetime
    leased_until: datetime | None
    attempts: int
    last_error: str | None
    created_at: datetime
    updated_at: datetime


class JobPage(BaseModel):
    jobs: list[JobItem]
    next_cursor: str | None


async def list_jobs(
    database: Database,
    now: datetime,
    *,
    limit: int,
    cursor: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    owner_id: uuid.UUID | None = None,
) -> JobPage:
    asked = {"job_id": None, "after_id": decode_id(cursor) or 0, "kind": kind, "state": state}
    async with database.as_service() as tx:
        rows = await tx.ask(SQL.list_jobs, asked, owner_id=owner_id, now=now, limit=limit + 1)
        found = [JobItem(**row) for row in await rows.fetchall()]
    next_cursor = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return JobPage(jobs=found[:limit], next_cursor=next_cursor)


async def retry_job(res: Resources, job_id: int, now: datetime) -> JobItem:
    """Safe while it is being done: then it is done once more. 404 unknown job."""
    job = await _change(res.database, SQL.retry_job, job_id, now)
    res.wake_worker()
    return job


async def cancel_job(database: Database, job_id: int, now: datetime) -> JobItem:
    return await _change(database, SQL.cancel_job, job_id, now)


async def _change(database: Database, statement: bytes, job_id: int, now: datetime) -> JobItem:
    async with database.as_service() as tx:
        changed = await tx.ask(statement, job_id=job_id, now=now)
        if await changed.fetchone() is None:
            raise not_found("The job")
        one = {"job_id": job_id, "after_id": 0, "kind": None, "state": None, "owner_id": None}
        row = await (await tx.ask(SQL.list_jobs, one, now=now, limit=1)).fetchone()
    return JobItem(**(row or {}))

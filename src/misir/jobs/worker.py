"""The worker: takes one job at a time and does it. Several at once are safe; so is kill -9.

lease (committed) ─▶ do it, in transactions of its own ─▶ finish: sleeps until its next time
└─ fails ─▶ again later, more and more slowly; the reason is kept
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from misir.errors import MisirError, unavailable
from misir.jobs.queue import SQL
from misir.resources import Resources
from misir.spaces.reflect import reflect

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
"""How often a worker looks for work that another process left."""

LEASE_S: Final = 120
RETRY_S: Final = (5, 30, 120, 600, 3600)
"""Seconds until a failed job is tried again; the last one from then on."""

MAX_ERROR: Final = 200


@asynccontextmanager
async def working(res: Resources) -> AsyncIterator[None]:
    """A worker runs beside the block, unless JOBS=off or there is no service login to work with."""
    if res.settings.JOBS == "off" or not _has_service(res):
        yield
        return
    task = asyncio.create_task(work_on(res), name="worker")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _has_service(res: Resources) -> bool:
    """A database of somebody else's needs its service login to be named; our own brings one."""
    if res.settings.DATABASE_URL is None or res.settings.DATABASE_SERVICE_URL is not None:
        return True
    log.warning("No jobs are done here: set DATABASE_SERVICE_URL, or JOBS=off where others do them")
    return False


def require_service(res: Resources) -> None:
    """For a process that does nothing but jobs. Raises MisirError 503."""
    if not _has_service(res):
        raise unavailable("A worker needs DATABASE_SERVICE_URL: the login of the service role.")


async def work_on(res: Resources) -> None:
    """Until cancelled."""
    while True:
        try:
            while await work_once(res, datetime.now(UTC)):
                pass
        except (MisirError, psycopg.OperationalError) as problem:  # no database right now: it comes back
            log.debug("no work: %s", problem)
        with suppress(TimeoutError):
            await asyncio.wait_for(res.has_work.wait(), LOOK_EVERY_S)
        res.has_work.clear()


async def drain(res: Resources, now: datetime) -> int:
    """Do everything that is due; how many jobs that was."""
    n_done = 0
    while await work_once(res, now):
        n_done += 1
    return n_done


async def work_once(res: Resources, now: datetime) -> bool:
    """Take one job and do it. False when none is due. Raises MisirError 503 without a database."""
    async with res.database.as_service() as tx:
        job = await (await tx.ask(SQL.lease_job, now=now, lease_s=LEASE_S)).fetchone()
    if job is None:
        return False
    try:
        next_at = await reflect(res, job["user_id"], job["space_id"], now)
    except Exception as error:
        log.exception("job %s of space %s failed", job["kind"], job["space_id"])
        await _fail(res, job, error, now)
        return True
    async with res.database.as_service(job["user_id"]) as tx:
        await tx.ask(SQL.finish_job, job_id=job["id"], version=job["version"], next_at=next_at, now=now)
    return True


async def _fail(res: Resources, job: dict[str, Any], error: Exception, now: datetime) -> None:
    """The class of the error only: its text could hold somebody's page."""
    wait_s = RETRY_S[min(job["attempts"], len(RETRY_S)) - 1]
    async with res.database.as_service(job["user_id"]) as tx:
        await tx.ask(
            SQL.fail_job,
            job_id=job["id"],
            error=type(error).__name__[:MAX_ERROR],
            next_at=now + timedelta(seconds=wait_s),
        )

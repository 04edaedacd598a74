"""The worker: leases jobs and does them. Several at once are safe; so is kill -9.

lease (committed) ─▶ do it, in transactions of its own ─▶ finish: sleeps until its next time, or ends
└─ fails ─▶ again later, more and more slowly; the reason is kept

Thinking (one job at a time: it is arithmetic), sending (several: it is waiting) and importing (one: it is
long) are lanes of their own, so that neither a receiver which does not answer nor a browser's whole history
keeps a library from being looked at, nor one receiver another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from misir.errors import MisirError, unavailable
from misir.jobs.kinds import ALL, IMPORTING, SENDING, THINKING, WORK, Job
from misir.jobs.queue import REFLECT, SQL
from misir.plumbing.beside import beside
from misir.plumbing.metrics import count_job, set_queue
from misir.resources import Resources

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
"""How often a worker looks for work that another process left."""

LEASE_S: Final = 120
KEEP_EVERY_S: Final = 40.0
"""How often a lease is renewed while its job is being done."""

RETRY_S: Final = (5, 30, 120, 600, 3600)
"""Seconds until a failed job is tried again; the last one from then on."""

GIVE_BACK_WITHIN_S: Final = 2.0
"""A worker that stops leaves its jobs to others, unless the database keeps it waiting."""

REST: Final = 4
"""How many times as long as it was looked at a space is left alone, if looking took LONG_S: who captures
without a pause leaves work without a pause, and a core that always thinks answers slowly.
"""

LONG_S: Final = 1.0

MAX_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class Lane:
    """Kinds that are done beside others, `width` jobs at once."""

    kinds: Sequence[str]
    width: int


LANES: Final = (Lane(THINKING, 1), Lane(SENDING, 8), Lane(IMPORTING, 1))


@asynccontextmanager
async def working(res: Resources) -> AsyncIterator[None]:
    """A worker runs beside the block, unless JOBS=off or there is no service login to work with."""
    if res.settings.JOBS == "off" or not _has_service(res):
        yield
        return
    async with beside(work_on(res), "worker"):
        yield


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
    async with asyncio.TaskGroup() as tasks:
        for lane in LANES:
            tasks.create_task(_serve(res, lane))
        tasks.create_task(_measure(res))


async def _serve(res: Resources, lane: Lane) -> None:
    """Keep up to `width` jobs going; look again when one ends, when woken, and every LOOK_EVERY_S."""
    running = set[asyncio.Task[None]]()
    try:
        while True:
            with suppress(MisirError, psycopg.OperationalError):  # no database right now: it comes back
                while len(running) < lane.width:
                    now = datetime.now(UTC)
                    job = await _lease(res, lane.kinds, now)
                    if job is None:
                        break
                    running.add(asyncio.create_task(_do(res, job, now, may_rest=True)))
            running -= await _until_something_happens(res, running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _until_something_happens(
    res: Resources, running: set[asyncio.Task[None]]
) -> set[asyncio.Task[None]]:
    """Wait for work, for a job to end, or for a while; the jobs that have ended."""
    woken = asyncio.create_task(res.has_work.wait())
    try:
        done, _ = await asyncio.wait(
            {woken, *running}, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        woken.cancel()
    if woken in done:
        res.has_work.clear()
    return {task for task in running if task.done()}


async def drain(res: Resources, now: datetime) -> int:
    """Do everything that is due; how many jobs that was."""
    n_done = 0
    while await work_once(res, now):
        n_done += 1
    return n_done


async def work_once(res: Resources, now: datetime, kinds: Sequence[str] = ALL) -> bool:
    """Take one job and do it. False when none is due. Raises MisirError 503 without a database."""
    job = await _lease(res, kinds, now)
    if job is not None:
        await _do(res, job, now)
    return job is not None


async def _lease(res: Resources, kinds: Sequence[str], now: datetime) -> Job | None:
    async with res.database.as_service() as tx:
        rows = await tx.ask(SQL.lease_job, now=now, lease_s=LEASE_S, kinds=list(kinds))
        row = await rows.fetchone()
    return None if row is None else Job(**row)


async def _do(res: Resources, job: Job, now: datetime, *, may_rest: bool = False) -> None:
    """One lease from its first statement to its last; who is stopped in between gives it back."""
    keeping = asyncio.create_task(_keep_lease(res, job))
    try:
        await _try(res, job, now, may_rest=may_rest)
    except asyncio.CancelledError:
        with suppress(MisirError, psycopg.OperationalError):
            await _give_back(res, job)
        raise
    finally:
        keeping.cancel()


async def _try(res: Resources, job: Job, now: datetime, *, may_rest: bool) -> None:
    """Do it and say when to do it next. A database that is gone leaves the job to whoever leases it next."""
    started = time.monotonic()
    try:
        next_at = await WORK[job.kind](res, job, now)
    except Exception as error:
        log.exception("job %s of space %s failed", job.kind, job.space_id)
        count_job(job.kind, "failed")
        with suppress(MisirError, psycopg.OperationalError):
            await _fail(res, job, error, now)
    else:
        count_job(job.kind, "done")
        with suppress(MisirError, psycopg.OperationalError):
            rest_until = rest_of(job.kind, now, time.monotonic() - started) if may_rest else None
            await _finish(res, job, next_at, now, rest_until)


def rest_of(kind: str, began_at: datetime, taken_s: float) -> datetime | None:
    """Until when a job that took so long is not done again, whatever is left for it.

    >>> noon = datetime(2026, 1, 1, 12)
    >>> rest_of(REFLECT, noon, 0.2), rest_of(REFLECT, noon, 6), rest_of("embed", noon, 60)
    (None, datetime.datetime(2026, 1, 1, 12, 0, 30), None)
    """
    is_long = kind == REFLECT and taken_s >= LONG_S
    return began_at + timedelta(seconds=(1 + REST) * taken_s) if is_long else None


async def _keep_lease(res: Resources, job: Job) -> None:
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        until = datetime.now(UTC) + timedelta(seconds=LEASE_S)
        with suppress(MisirError, psycopg.OperationalError):
            async with res.database.as_service(job.user_id) as tx:
                kept = await tx.ask(SQL.keep_lease, job_id=job.id, lease=job.lease, until=until)
                if await kept.fetchone() is None:
                    return


async def _finish(
    res: Resources, job: Job, next_at: datetime | None, now: datetime, rest_until: datetime | None = None
) -> None:
    held = {"job_id": job.id, "version": job.version, "lease": job.lease}
    async with res.database.as_service(job.user_id) as tx:
        if next_at is None:
            await tx.ask(SQL.end_job, held)
        await tx.ask(SQL.finish_job, held, next_at=next_at or now, now=now, rest_until=rest_until)


async def _fail(res: Resources, job: Job, error: Exception, now: datetime) -> None:
    """The class of the error only: its text could hold somebody's page."""
    next_at = now + timedelta(seconds=RETRY_S[min(job.attempts, len(RETRY_S)) - 1])
    name = type(error).__name__[:MAX_ERROR]
    async with res.database.as_service(job.user_id) as tx:
        await tx.ask(SQL.fail_job, job_id=job.id, lease=job.lease, error=name, next_at=next_at)


async def _give_back(res: Resources, job: Job) -> None:
    """By who is asked to stop; nothing happens if the job was finished just before."""
    async with res.database.as_service(job.user_id, patience_s=GIVE_BACK_WITHIN_S) as tx:
        await tx.ask(SQL.give_back, job_id=job.id, lease=job.lease)


async def _measure(res: Resources) -> None:
    """The gauges of the queue, and its age for readiness, as long as this process works."""
    while True:
        with suppress(MisirError, psycopg.OperationalError):
            await measure(res, datetime.now(UTC))
        await asyncio.sleep(LOOK_EVERY_S)


async def measure(res: Resources, now: datetime) -> None:
    async with res.database.as_service() as tx:
        rows = await (await tx.ask(SQL.measure_queue, now=now)).fetchall()
    counts = {(row["kind"], row["state"]): row["n_jobs"] for row in rows}
    ages = {kind: max((row["oldest_s"] for row in rows if row["kind"] == kind), default=0.0) for kind in ALL}
    res.queue_age_s = max(ages.values())
    set_queue(counts, ages)

"""Every kind of job, and the function that does it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from misir.capture.catch_up import place_pending
from misir.imports.work import work_import
from misir.jobs.queue import DELIVER, EMBED, IMPORT, REFLECT, RETAIN, SWEEP
from misir.jobs.retention import retain, sweep
from misir.resources import Resources
from misir.spaces.reflect import reflect
from misir.webhooks.deliver import deliver


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job: whose it is, what it is for, and the lease by which it may be finished."""

    id: int
    user_id: uuid.UUID
    space_id: int | None
    endpoint_id: int | None
    kind: str
    version: int
    attempts: int
    lease: uuid.UUID


Work = Callable[[Resources, Job, datetime], Awaitable[datetime | None]]
"""Does a job; the answer is when to do it again, or None when there is nothing left of it."""


async def _reflect(res: Resources, job: Job, now: datetime) -> datetime | None:
    return await reflect(res, job.user_id, _of(job.space_id), now)


async def _embed(res: Resources, job: Job, now: datetime) -> datetime | None:
    return await place_pending(res, job.user_id, _of(job.space_id), now)


async def _deliver(res: Resources, job: Job, now: datetime) -> datetime | None:
    return await deliver(res, job.user_id, _of(job.endpoint_id), now)


async def _retain(res: Resources, job: Job, now: datetime) -> datetime | None:
    return await retain(res, job.user_id, now)


async def _import(res: Resources, job: Job, now: datetime) -> datetime | None:
    return await work_import(res, job.user_id, now)


async def _sweep(res: Resources, _: Job, now: datetime) -> datetime | None:
    return await sweep(res, now)


def _of(one: int | None) -> int:
    if one is None:
        raise ValueError("the job does not say what it is for")
    return one


WORK: Final[dict[str, Work]] = {
    REFLECT: _reflect,
    EMBED: _embed,
    DELIVER: _deliver,
    IMPORT: _import,
    RETAIN: _retain,
    SWEEP: _sweep,
}
THINKING: Final = (EMBED, REFLECT, RETAIN, SWEEP)
SENDING: Final = (DELIVER,)
IMPORTING: Final = (IMPORT,)
ALL: Final = (*THINKING, *SENDING, *IMPORTING)

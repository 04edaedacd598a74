"""Telling one endpoint what happened: the job `deliver`, one for each endpoint.

    lease the endpoint's job (committed) ─▶ read what is due (committed) ─▶ POST, a few at once ─▶ note each

An endpoint has its own job and its own pace, so one that is dead or slow keeps no other waiting. While
nothing it is sent arrives, it is asked with one delivery at a time. A worker that dies after the POST and
before the last step makes the receiver hear of the event twice, under the same id: at least once. An
answer is therefore noted when it comes, and not when the slowest of its round has come.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from misir.plumbing.metrics import count_deliveries
from misir.plumbing.outbound import ForbiddenAddressError, outbound_client
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.webhooks.sign import body_of, event_name, headers_of, next_attempt_at, read_retry_after

SQL = load_statements("misir.webhooks", "deliver.sql")

N_AT_ONCE: Final = 20
"""Deliveries that are read together: a round."""

N_OPEN: Final = 5
"""Requests to one endpoint at the same time."""

TRY_WITHIN_S: Final = 15.0
RUN_FOR_S: Final = 20.0
"""After that long an endpoint goes to the end of the line, however much waits for it."""

PROBE_EVERY: Final = timedelta(seconds=30)
FAILING_FOR: Final = timedelta(days=5)
"""An endpoint that nothing has reached for this long is disabled."""

GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint, its secrets opened (the newest first), and what is due for it."""

    url: str
    secrets: Sequence[bytes]
    is_failing: bool
    due: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Try:
    """How one try went. `status` None: there was no answer, and `error` says why."""

    delivery_id: int
    number: int
    status: int | None
    error: str | None
    duration_ms: int
    at: datetime
    retry_after: datetime | None

    @property
    def has_arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def next_at(self) -> datetime | None:
        """None when it is settled: it has arrived, or the schedule is over."""
        if self.has_arrived:
            return None
        return next_attempt_at(self.number, self.at, retry_after=self.retry_after)


async def deliver(res: Resources, user_id: uuid.UUID, endpoint_id: int, now: datetime) -> datetime | None:
    """Send what is due; the answer is when something is due again, or None."""
    started = time.monotonic()
    moment = now
    async with outbound_client(res.settings.OUTBOUND_ALLOW) as client:
        while (moment - now).total_seconds() < RUN_FOR_S:
            target = await _load(res, user_id, endpoint_id, moment)
            if target is None or not target.due:
                break
            tries = await _try_all(res, client, user_id, target, moment)
            await _judge(res, user_id, endpoint_id, tries, moment)
            moment = now + timedelta(seconds=time.monotonic() - started)
            if not any(one.has_arrived for one in tries):
                break
    return await _next_look(res, user_id, endpoint_id, moment)


async def _load(res: Resources, user_id: uuid.UUID, endpoint_id: int, now: datetime) -> Target | None:
    async with res.database.as_service(user_id) as tx:
        row = await (await tx.ask(SQL.load_endpoint, endpoint_id=endpoint_id)).fetchone()
        if row is None:
            return None
        is_failing = row["failing_since"] is not None
        limit = 1 if is_failing else N_AT_ONCE
        due = await (await tx.ask(SQL.list_due, endpoint_id=endpoint_id, now=now, limit=limit)).fetchall()
    sealed = [row["secret"]]
    if row["old_secret"] is not None and row["old_secret_until"] > now:
        sealed.append(row["old_secret"])
    return Target(row["url"], [res.seal().open(one, str(user_id)) for one in sealed], is_failing, due)


async def _try_all(
    res: Resources, client: httpx.AsyncClient, user_id: uuid.UUID, target: Target, now: datetime
) -> list[Try]:
    """One round: every due delivery is tried once, and noted as soon as that is over."""
    slots = asyncio.Semaphore(N_OPEN)

    async def one(due: dict[str, Any]) -> Try:
        async with slots:
            return await _try(client, target, due, now)

    waiting, tries = {asyncio.create_task(one(due)) for due in target.due}, list[Try]()
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            over = [task.result() for task in done]
            await _settle(res, user_id, over)
            tries += over
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return tries


async def _try(client: httpx.AsyncClient, target: Target, due: dict[str, Any], now: datetime) -> Try:
    """One POST. What the receiver says beyond its status and Retry-After is not read."""
    number, started = due["attempt_count"] + 1, time.monotonic()
    body = body_of(due["uid"], due["type"], due["created_at"], due["data"])
    headers = headers_of(event_name(due["uid"]), due["type"], body, target.secrets, attempt=number, now=now)
    status = error = retry_after = None
    try:
        async with (
            asyncio.timeout(TRY_WITHIN_S),
            client.stream("POST", target.url, content=body, headers=headers) as answer,
        ):
            status = answer.status_code
            retry_after = read_retry_after(answer.headers.get("retry-after"), now)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as problem:
        error = reason_of(problem)
    lasted = time.monotonic() - started
    at = now + timedelta(seconds=lasted)
    return Try(due["id"], number, status, error, round(lasted * 1000), at, retry_after)


def reason_of(problem: Exception) -> str:
    """Why there was no answer, for the owner of the endpoint; never in the system's own words."""
    if isinstance(problem.__cause__, ForbiddenAddressError):
        return "The address is not public."
    if isinstance(problem, httpx.TimeoutException | TimeoutError):
        return "There was no answer in time."
    if isinstance(problem, httpx.ConnectError):
        return "No connection could be made."
    return "The connection broke."


async def _settle(res: Resources, user_id: uuid.UUID, tries: Sequence[Try]) -> None:
    """How each try went, in one transaction."""
    next_ats = [one.next_at for one in tries]
    states = [
        "delivered" if one.has_arrived else "failed" if next_at is None else "pending"
        for one, next_at in zip(tries, next_ats, strict=True)
    ]
    async with res.database.as_service(user_id) as tx:
        await tx.ask(
            SQL.settle_deliveries,
            ids=[one.delivery_id for one in tries],
            numbers=[one.number for one in tries],
            statuses=[one.status for one in tries],
            errors=[one.error for one in tries],
            durations=[one.duration_ms for one in tries],
            ats=[one.at for one in tries],
            states=states,
            next_ats=next_ats,
        )
    words = {"delivered": "delivered", "failed": "given up", "pending": "failed"}
    count_deliveries([words[state] for state in states])  # type: ignore[misc]


async def _judge(
    res: Resources, user_id: uuid.UUID, endpoint_id: int, tries: Sequence[Try], now: datetime
) -> None:
    """What a whole round says of the endpoint: that it can be reached, that it cannot, or that it is gone."""
    is_gone = any(one.status == GONE for one in tries)
    async with res.database.as_service(user_id) as tx:
        if any(one.has_arrived for one in tries) and not is_gone:
            await tx.ask(SQL.note_success, endpoint_id=endpoint_id)
        else:
            asked = {"endpoint_id": endpoint_id, "is_gone": is_gone, "now": now}
            await tx.ask(SQL.note_failure, asked, failing_before=now - FAILING_FOR)


async def _next_look(res: Resources, user_id: uuid.UUID, endpoint_id: int, now: datetime) -> datetime | None:
    """When the next delivery is due. What is overdue waits for the next probe, or for its turn."""
    async with res.database.as_service(user_id) as tx:
        row = await (await tx.ask(SQL.find_next_attempt, endpoint_id=endpoint_id, now=now)).fetchone()
    if row is None or row["next_at"] is None:
        return None
    at: datetime = row["next_at"]
    if at > now or not row["is_failing"]:
        return max(at, now)
    later: datetime | None = row["later_at"]
    probe_at = now + PROBE_EVERY
    return probe_at if later is None else min(later, probe_at)

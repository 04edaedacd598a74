"""Finding insights: load what the rules look at, judge, and keep what they say, each cause once.

    load (always as many statements) → judge, propose (off the event loop) → wait in line → keep, expire

Safe to repeat, N at once, and to be killed: a cause is a row by its key, all written in one transaction.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from misir.insights.findings import ALERTS, PROPOSALS, Finding, Seen
from misir.insights.proposals import Members, propose
from misir.insights.rules import judge
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.webhooks.outbox import emit_all

EVIDENCE = load_statements("misir.insights", "evidence.sql")
SQL = load_statements("misir.insights", "insights.sql")

MAX_TOPICS: Final = 500
"""Largest topics that are looked at for proposals in one go."""

N_MEMBERS: Final = 50
"""Newest members of each that speak for it."""

Open = Callable[[], AbstractAsyncContextManager[Tx]]


async def find_insights(
    res: Resources, user_id: uuid.UUID, now: datetime, *, space_id: int | None = None
) -> list[int]:
    """Every rule and proposal, of one space or of all, as the user: ids of the insights raised just now."""
    return await _find(res, lambda: res.database.as_user(user_id), now, space_id, with_proposals=True)


async def find_alerts(res: Resources, user_id: uuid.UUID, now: datetime, space_id: int) -> list[int]:
    """The rules behind alerts, of one space: without the proposals, which cost vectors."""
    return await _find(res, lambda: res.database.as_user(user_id), now, space_id, with_proposals=False)


async def reflect_on_insights(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> list[int]:
    """The worker's part, of one space. Proposals only where placements were just looked at again: until then
    its topics are much what they were, and vectors cost.
    """
    async with res.database.as_service(user_id) as tx:
        asked = {"space_id": space_id, "now": now}
        is_due = await (await tx.ask(EVIDENCE.was_consolidated, asked)).fetchone() is not None
    return await _find(res, lambda: res.database.as_service(user_id), now, space_id, with_proposals=is_due)


async def _find(
    res: Resources, open_tx: Open, now: datetime, space_id: int | None, *, with_proposals: bool
) -> list[int]:
    async with open_tx() as tx:
        seen = await load(tx, res, now, space_id)
        members = await _load_members(tx, res, space_id) if with_proposals else {}
    found = await asyncio.to_thread(_judge, seen, members)
    async with open_tx() as tx:
        await tx.ask(SQL.wait_in_line)
        return await _keep(tx, found, now, space_id, with_proposals=with_proposals)


def _judge(seen: Seen, members: Members) -> list[Finding]:
    return judge(seen) + propose(seen.topics, members, seen.now, seen.config)


async def load(tx: Tx, res: Resources, now: datetime, space_id: int | None) -> Seen:
    """What the rules look at, as of `now`; placements, names and centroids as they are."""
    config = res.config
    asked = {
        "now": now,
        "space_id": space_id,
        "model": res.embedder.fingerprint,
        "n_items": config.echo_items,
        "drop": config.confidence_drop,
        "latent_since": now - timedelta(days=config.never_read_days),
    }
    statements = (
        EVIDENCE.list_scenes,
        EVIDENCE.list_recent_items,
        EVIDENCE.list_day_counts,
        EVIDENCE.list_notable_drifts,
        EVIDENCE.list_confidence_changes,
        EVIDENCE.list_never_read,
        EVIDENCE.list_topics,
        EVIDENCE.list_mean_readings,
    )
    cursors = [await tx.ask(statement, asked) for statement in statements]  # pipelined: sent together
    rows = [await cursor.fetchall() for cursor in cursors]
    scenes, items, days, drifts, confidences, never_read, topics, readings = rows
    return Seen(
        now=now,
        scenes=scenes,
        items=items,
        day_counts=days,
        drifts=drifts,
        confidences=confidences,
        never_read=never_read,
        topics=topics,
        readings=readings,
        novelty=res.embedder.calibration.novelty,
        config=config,
    )


async def _load_members(tx: Tx, res: Resources, space_id: int | None) -> Members:
    config = res.config
    rows = await tx.ask(
        EVIDENCE.list_members,
        space_id=space_id,
        model=res.embedder.fingerprint,
        min_items=min(config.merge_min_items, 2 * config.split_min_half),
        n_topics=MAX_TOPICS,
        n_members=N_MEMBERS,
    )
    groups = groupby(await rows.fetchall(), key=lambda row: int(row["topic_id"]))
    return {topic_id: _member_vectors(list(group)) for topic_id, group in groups}


def _member_vectors(rows: Sequence[dict[str, Any]]) -> tuple[list[int], Any]:
    return [row["id"] for row in rows], np.stack([row["vector"].to_numpy() for row in rows])


async def _keep(
    tx: Tx, found: Sequence[Finding], now: datetime, space_id: int | None, *, with_proposals: bool
) -> list[int]:
    """Write what was found, end what was not; the ids of what is raised now and was not before."""
    rules = [*ALERTS, *(PROPOSALS if with_proposals else ())]
    findings = Jsonb([one.to_json() for one in found])
    kept = await tx.ask(SQL.keep_findings, findings=findings, now=now)
    keys = [one.key for one in found]
    await tx.ask(SQL.expire_insights, rules=rules, space_id=space_id, keys=keys)
    raised = [row for row in await kept.fetchall() if row["is_raised"]]
    told = [{"insight_id": row["id"], "space_id": row["space_id"], "rule": row["rule"]} for row in raised]
    await emit_all(tx, "insight.created", told)
    return [row["id"] for row in raised]

"""Reading one topic, and the events in the life of one or of all topics of a space."""

from __future__ import annotations

import uuid
from typing import Any

from misir.errors import not_found
from misir.paging import decode_moment, encode_moment
from misir.plumbing.db import Database
from misir.plumbing.sqlfile import load_statements
from misir.spaces.schemas import Subspace
from misir.spaces.topic_schemas import LifeEvent, LifeEvents
from misir.spaces.views import SQL as SPACES
from misir.spaces.views import read_subspace

SQL = load_statements("misir.spaces", "topics_read.sql")


async def get_topic(
    database: Database,
    user_id: uuid.UUID,
    topic_id: int,
    *,
    space_id: int | None = None,
    with_centroid: bool = False,
) -> Subspace:
    """The topic; 404 also when `space_id` is given and it is in another space."""
    asked = {"topic_id": topic_id, "space_id": space_id, "with_centroid": with_centroid, "limit": 1}
    async with database.as_user(user_id) as tx:
        row = await (await tx.ask(SPACES.list_subspaces, asked)).fetchone()
    if row is None:
        raise not_found("The subspace")
    return read_subspace(row)


async def list_topic_events(
    database: Database, user_id: uuid.UUID, topic_id: int, *, limit: int = 50, cursor: str | None = None
) -> LifeEvents:
    asked = {"topic_id": topic_id, **decode_moment(cursor)}
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SQL.topic_exists, asked)
        rows = await tx.ask(SQL.list_topic_events, asked, limit=limit + 1)
        total = await tx.ask(SQL.count_topic_events, asked)
        if await found.fetchone() is None:
            raise not_found("The subspace")
        return _page(await rows.fetchall(), (await total.fetchone() or {})["count"], limit)


async def list_space_events(
    database: Database, user_id: uuid.UUID, space_id: int, *, limit: int = 50, cursor: str | None = None
) -> LifeEvents:
    asked = {"space_id": space_id, **decode_moment(cursor)}
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SPACES.space_exists, asked)
        rows = await tx.ask(SQL.list_space_events, asked, limit=limit + 1)
        total = await tx.ask(SQL.count_space_events, asked)
        if await found.fetchone() is None:
            raise not_found("The space")
        return _page(await rows.fetchall(), (await total.fetchone() or {})["count"], limit)


def _page(rows: list[dict[str, Any]], count: int, limit: int) -> LifeEvents:
    events = [LifeEvent(**row) for row in rows[:limit]]
    next_cursor = encode_moment(events[-1].occurred_at, events[-1].id) if len(rows) > limit else None
    return LifeEvents(events=events, count=count, next_cursor=next_cursor)

"""Reading spaces and topics: one query, one row class each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from misir.errors import not_found
from misir.orient.confidence import has_enough_data
from misir.orient.config import EngineConfig
from misir.paging import CAP, decode_cursor, decode_moment, encode_cursor, encode_moment
from misir.plumbing.db import Database, Tx
from misir.plumbing.sqlfile import load_statements
from misir.spaces.schemas import (
    Correction,
    CorrectionList,
    Space,
    SpaceList,
    Subspace,
    Timeline,
    TimelineItem,
)

SQL = load_statements("misir.spaces", "spaces.sql")
LOG = load_statements("misir.spaces", "log.sql")
WRITE = load_statements("misir.spaces", "spaces_write.sql")


async def list_spaces(
    database: Database,
    user_id: uuid.UUID,
    now: datetime,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    archived: bool = False,
    deleted: bool = False,
    updated_since: datetime | None = None,
) -> SpaceList:
    """The live spaces, or the archived ones, or those in the trash."""
    after_id = decode_cursor(cursor, (int,))[0] if cursor else 0
    shown = {"archived": archived, "deleted": deleted}
    wanted = {"now": now, **shown, "space_id": None, "after_id": after_id}
    wanted["min_artifacts"] = EngineConfig().min_artifacts
    size = limit or CAP
    async with database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_spaces, wanted, updated_since=updated_since, limit=size + 1)
        total = await tx.ask(SQL.count_spaces, shown)
        spaces = [Space(**row) for row in await rows.fetchall()]
        count = (await total.fetchone() or {})["count"]
    next_cursor = encode_cursor(spaces[size - 1].id) if len(spaces) > size else None
    return SpaceList(spaces=spaces[:size], count=count, next_cursor=next_cursor)


async def get_space(database: Database, user_id: uuid.UUID, space_id: int, now: datetime) -> Space:
    async with database.as_user(user_id) as tx:
        return await read_space(tx, space_id, now)


async def read_space(tx: Tx, space_id: int, now: datetime) -> Space:
    """As it is listed. 404 unknown space."""
    one = {"space_id": space_id, "after_id": 0, "limit": 1}
    wanted: dict[str, Any] = {"now": now, "archived": False, "deleted": False, **one}
    wanted["min_artifacts"] = EngineConfig().min_artifacts
    rows = await tx.ask(SQL.list_spaces, wanted, updated_since=None)
    row = await rows.fetchone()
    if row is None:
        raise not_found("The space")
    return Space(**row)


async def list_subspaces(
    database: Database,
    user_id: uuid.UUID,
    space_id: int,
    *,
    limit: int | None = None,
    with_centroid: bool = False,
) -> list[Subspace]:
    shown = {"limit": limit or CAP, "with_centroid": with_centroid}
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SQL.space_exists, space_id=space_id)
        rows = await tx.ask(SQL.list_subspaces, shown, space_id=space_id, topic_id=None)
        if await found.fetchone() is None:
            raise not_found("The space")
        return [read_subspace(row) for row in await rows.fetchall()]


async def list_timeline(
    database: Database,
    user_id: uuid.UUID,
    space_id: int,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    updated_since: datetime | None = None,
) -> Timeline:
    """Oldest first; everything (5,000 at most) without a limit. 404 unknown space."""
    size, start = limit or CAP, decode_moment(cursor)
    asked = {"space_id": space_id, "updated_since": updated_since}
    after = {"after_at": start["before_at"], "after_id": start["before_id"]}
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SQL.space_exists, space_id=space_id)
        rows = await tx.ask(WRITE.list_timeline, asked | after, limit=size + 1)
        total = await tx.ask(WRITE.count_timeline, asked)
        if await found.fetchone() is None:
            raise not_found("The space")
        items = [TimelineItem(**row) for row in await rows.fetchall()]
        count = (await total.fetchone() or {})["count"]
    last = items[size - 1] if len(items) > size else None
    next_cursor = encode_moment(last.created_at, last.id) if last else None
    return Timeline(artifacts=items[:size], count=count, next_cursor=next_cursor)


async def list_corrections(
    database: Database, user_id: uuid.UUID, space_id: int, *, limit: int = 50, cursor: str | None = None
) -> CorrectionList:
    """Newest first; `cursor` continues where a page ended. 404 unknown space."""
    before = decode_cursor(cursor, (int,))[0] if cursor else None
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SQL.space_exists, space_id=space_id)
        rows = await tx.ask(LOG.list_corrections, space_id=space_id, before_seq=before, limit=limit + 1)
        if await found.fetchone() is None:
            raise not_found("The space")
        corrections = [Correction(**row) for row in await rows.fetchall()]
    next_cursor = encode_cursor(corrections[limit - 1].seq) if len(corrections) > limit else None
    return CorrectionList(corrections=corrections[:limit], next_cursor=next_cursor)


def read_subspace(row: dict[str, Any]) -> Subspace:
    """From a row of list_subspaces."""
    centroid = row.pop("centroid")
    return Subspace(
        **row,
        centroid=None if centroid is None else centroid.to_list(),
        enough_data=has_enough_data(row["artifact_count"], EngineConfig()),
    )

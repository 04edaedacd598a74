"""Sittings of reading: begun, ended, counted. Signals name them; nothing is learned from them."""

from __future__ import annotations

import uuid
from datetime import datetime

from psycopg.types.json import Jsonb

from misir.errors import invalid, not_found
from misir.paging import decode_moment, encode_moment
from misir.plumbing.db import Database
from misir.plumbing.sqlfile import load_statements
from misir.sessions.schemas import NewSession, Session, SessionList, SessionPatch

SQL = load_statements("misir.sessions", "sessions.sql")


async def begin_session(
    database: Database, user_id: uuid.UUID, new: NewSession, now: datetime
) -> tuple[Session, bool]:
    """The session with this external_id, and whether it is new: queues of clients send the same one again."""
    started_at = new.started_at or now
    async with database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.begin_session, external_id=new.external_id, started_at=started_at)
        row = await rows.fetchone() or {}
    return Session(**row), row["is_new"]


async def patch_session(
    database: Database, user_id: uuid.UUID, session_id: int, patch: SessionPatch
) -> Session:
    """Takes load_session_for_update. Raises MisirError: 404 unknown; 422 an end before the beginning."""
    async with database.as_user(user_id) as tx:
        before = await (await tx.ask(SQL.load_session_for_update, session_id=session_id)).fetchone()
        if before is None:
            raise not_found("The session")
        if patch.ended_at is not None and patch.ended_at < before["started_at"]:
            raise invalid("ended_at: must not lie before started_at.")
        rows = await tx.ask(
            SQL.patch_session,
            session_id=session_id,
            has_end="ended_at" in patch.model_fields_set,
            ended_at=patch.ended_at,
            totals=None if patch.totals is None else Jsonb(patch.totals),
        )
        return Session(**(await rows.fetchone() or {}))


async def get_session(database: Database, user_id: uuid.UUID, session_id: int) -> Session:
    async with database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.get_session, session_id=session_id)).fetchone()
    if row is None:
        raise not_found("The session")
    return Session(**row)


async def list_sessions(
    database: Database,
    user_id: uuid.UUID,
    *,
    limit: int = 50,
    cursor: str | None = None,
    updated_since: datetime | None = None,
) -> SessionList:
    asked = {**decode_moment(cursor), "updated_since": updated_since, "limit": limit + 1}
    async with database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_sessions, asked)
        total = await tx.ask(SQL.count_sessions, asked)
        sessions = [Session(**row) for row in await rows.fetchall()]
        count = (await total.fetchone() or {})["count"]
    last = sessions[limit - 1] if len(sessions) > limit else None
    next_cursor = encode_moment(last.started_at, last.id) if last else None
    return SessionList(sessions=sessions[:limit], count=count, next_cursor=next_cursor)

"""Connections to PostgreSQL that know our types."""

from __future__ import annotations

from typing import Final

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg.adapt import AdaptersMap
from psycopg.rows import DictRow, dict_row
from psycopg.types.string import TextBinaryLoader

from misir.plumbing.replica import Connection
from misir.plumbing.sqlfile import load_statements

CONNECT_TIMEOUT_S: Final = 3

SQL = load_statements("misir.plumbing", "state.sql")


async def connect(url: str, types: AdaptersMap | None) -> Connection:
    """One connection that knows these types, in no transaction yet. It is the caller's to close."""
    make = psycopg.AsyncConnection[DictRow].connect
    return await make(url, row_factory=dict_row, connect_timeout=CONNECT_TIMEOUT_S, context=types)


async def learn_types(url: str) -> AdaptersMap:
    """Our types in this database, in binary, too: a vector as text takes ten times as long to read.

    Learnt once and handed to every connection: what pgvector registers are new classes each time, which
    psycopg remembers for ever (20 KB a connection).
    """
    conn = await connect(url, None)
    try:
        await register_vector_async(conn)
        async with conn.transaction():
            for row in await (await conn.execute(SQL.list_enums)).fetchall():
                conn.adapters.register_loader(row["oid"], TextBinaryLoader)
    finally:  # who is cancelled here leaves nobody who knows that it is open
        await conn.close()
    return conn.adapters

"""A library as lines, however large: a page of rows in each transaction, none open while a client is slow.

JSON lines are complete and come back exactly by an import (imports/restore.py); bookmarks are for others.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from misir.errors import not_found
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.exports", "export.sql")

Format = Literal["jsonl", "bookmarks"]

EXPORT_KIND: Final = "misir-export"
EXPORT_VERSION: Final = 1

PAGE_ROWS: Final = 200
PAGE_BYTES: Final = 4_000_000
"""Text of a page, as far as one row does not have more: all that an export holds in memory."""

KINDS: Final = (
    # Kind, its statement, and the kind whose ids say how far it goes. Whatever names a row comes after it.
    ("space", SQL.list_spaces, "space", PAGE_ROWS),
    ("session", SQL.list_sessions, "session", PAGE_ROWS),
    ("subspace", SQL.list_subspaces, "subspace", PAGE_ROWS),
    ("marker", SQL.list_markers, "marker", PAGE_ROWS),
    ("artifact", SQL.list_artifacts, "artifact", PAGE_ROWS),
    ("embedding", SQL.list_embeddings, "embedding", PAGE_ROWS),
    ("signal", SQL.list_signals, "signal", PAGE_ROWS),
    ("correction", SQL.list_corrections, "correction", PAGE_ROWS),
    ("drift_event", SQL.list_drifts, "drift_event", PAGE_ROWS),
    ("subspace_event", SQL.list_events, "subspace_event", PAGE_ROWS),
    ("snapshots", SQL.list_snapshots, "subspace", 1),
)

Bounds = dict[str, int | None]


async def open_export(res: Resources, user_id: uuid.UUID, space_id: int | None) -> Bounds:
    """How far the export goes. Raises MisirError 404 for a space that is not the user's, 503 no database."""
    async with res.database.as_user(user_id) as tx:
        if space_id is not None:
            found = await tx.ask(SQL.find_space, space_id=space_id)
            if await found.fetchone() is None:
                raise not_found("The space")
        return dict(await (await tx.ask(SQL.read_bounds)).fetchone() or {})


async def export_lines(
    res: Resources, user_id: uuid.UUID, space_id: int | None, bounds: Bounds, now: datetime
) -> AsyncIterator[bytes]:
    """Pages of JSON lines: a header, the rows of each kind in order of id, and the counts as the last line.

    An export without its last line was cut off.
    """
    counts: dict[str, int] = {}
    yield _line(
        {
            "kind": EXPORT_KIND,
            "version": EXPORT_VERSION,
            "exported_at": now.isoformat(),
            "model": res.embedder.fingerprint,
            "dimension": res.embedder.dimension,
            "misir": res.settings.VERSION,
        }
    )
    if space_id is None:
        async with res.database.as_user(user_id) as tx:
            rows = await (await tx.ask(SQL.list_settings)).fetchall()
        counts["settings"] = len(rows)
        yield _joined(rows)
    for kind, statement, bound, limit in KINDS:
        counts[kind] = 0
        asked = {"space_id": space_id, "last_id": bounds[bound] or 0, "limit": limit}
        async for rows in _pages(res, user_id, statement, asked):
            counts[kind] += len(rows)
            yield _joined(rows)
    yield _line({"kind": "end", "counts": counts})


async def _pages(
    res: Resources, user_id: uuid.UUID, statement: bytes, asked: dict[str, Any]
) -> AsyncIterator[list[dict[str, Any]]]:
    after_id = 0
    while True:
        async with res.database.as_user(user_id) as tx:
            found = await tx.ask(statement, asked, after_id=after_id, max_bytes=PAGE_BYTES)
            rows = await found.fetchall()
        if not rows:
            return
        after_id = rows[-1]["id"]
        yield rows


def _joined(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{row['line']}\n" for row in rows).encode()


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


# ---- bookmarks ------------------------------------------------------------------------------------

BOOKMARKS_HEAD: Final = """<!DOCTYPE NETSCAPE-Bookmark-file-1>
<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=UTF-8">
<TITLE>Bookmarks</TITLE>
<H1>Bookmarks</H1>
<DL><p>
"""


async def export_bookmarks(
    res: Resources, user_id: uuid.UUID, space_id: int | None, bounds: Bounds
) -> AsyncIterator[bytes]:
    """The file every browser imports: a folder for each space, topics as tags."""
    yield BOOKMARKS_HEAD.encode()
    asked = {"space_id": space_id, "last_id": bounds["artifact"] or 0, "limit": PAGE_ROWS}
    after_space, after_id, is_open = 0, 0, False
    while True:
        async with res.database.as_user(user_id) as tx:
            found = await tx.ask(SQL.list_bookmarks, asked, after_space_id=after_space, after_id=after_id)
            rows = await found.fetchall()
        if not rows:
            break
        parts = list[str]()
        for row in rows:
            if row["space_id"] != after_space:
                parts.append(_folder(row["space_name"], is_after_another=is_open))
                after_space, is_open = row["space_id"], True
            parts.append(_bookmark(row))
        after_id = rows[-1]["id"]
        yield "".join(parts).encode()
    yield ("    </DL><p>\n" * is_open + "</DL><p>\n").encode()


def _folder(name: str, *, is_after_another: bool) -> str:
    end = "    </DL><p>\n" if is_after_another else ""
    return f"{end}    <DT><H3>{html.escape(name)}</H3>\n    <DL><p>\n"


def _bookmark(row: dict[str, Any]) -> str:
    title = " ".join((row["title"] or row["url"]).split())
    tags = f' TAGS="{html.escape(row["topic_name"])}"' if row["topic_name"] else ""
    added = round(row["captured_at"].timestamp())
    return (
        f'        <DT><A HREF="{html.escape(row["url"])}" ADD_DATE="{added}"{tags}>{html.escape(title)}</A>\n'
    )

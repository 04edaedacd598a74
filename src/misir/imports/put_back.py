"""Some lines of an export, put back in one transaction."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from pgvector import HalfVector
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from misir.imports.rows import LINES, Ref, refs_of, renamed
from misir.imports.run import Run
from misir.imports.source import SQL as IMPORTS
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.imports", "restore.sql")

Line = tuple[int, dict[str, Any]]
Row = dict[str, Any]

NEEDED: Final = {
    "subspace": ("space_id",),
    "marker": ("space_id",),
    "artifact": ("space_id",),
    "embedding": ("artifact_id",),
    "signal": ("artifact_id",),
    "correction": ("space_id",),
    "subspace_event": ("space_id",),
    "drift_event": ("subspace_id",),
}
"""What a row cannot be without."""

PUT: Final[dict[str, bytes]] = {
    "space": SQL.put_space,
    "session": SQL.put_session,
    "subspace": SQL.put_subspace,
    "marker": SQL.put_marker,
    "artifact": SQL.put_artifact,
    "embedding": SQL.put_embedding,
    "signal": SQL.put_signal,
    "correction": SQL.put_correction,
    "subspace_event": SQL.put_subspace_event,
    "drift_event": SQL.put_drift_event,
}


async def put_lines(res: Resources, run: Run, lines: Sequence[Line]) -> bool:
    """Lines of one kind, and how far the import is, in one transaction. False: somebody stopped it."""
    try:
        async with res.database.as_service(run.user_id) as tx:
            await _put_and_move_on(tx, run, lines)
    except _StoppedError:
        return False
    return True


class _StoppedError(Exception):
    """Nothing of these lines is kept: another worker put them back, or the import is being undone."""


async def _put_and_move_on(tx: Tx, run: Run, lines: Sequence[Line]) -> None:
    kind = str(lines[0][1].get("kind"))
    refused = await _put(tx, run, kind, lines) if kind in LINES else []
    if kind == "settings":
        await tx.ask(SQL.put_settings, rows=Jsonb([line for _, line in lines]))
    n_new = len(lines) - len(refused) if kind in LINES else 0
    counted = {"new": n_new, "failed": len(refused), "was_at": lines[0][0] - 1, "position": lines[-1][0]}
    moved = await tx.ask(SQL.move_on, counted, import_id=run.id)
    if await moved.fetchone() is None:
        raise _StoppedError
    if refused:
        columns = {
            "positions": [number for number, _ in refused],
            "outcomes": ["failed"] * len(refused),
            "urls": [None] * len(refused),
            "errors": [reason for _, reason in refused],
        }
        await tx.ask(IMPORTS.insert_refused, columns, import_id=run.id)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A line as the row it will be; `old_id` is what other lines call it."""

    number: int
    old_id: int
    row: Row


async def _put(tx: Tx, run: Run, kind: str, lines: Sequence[Line]) -> list[tuple[int, str]]:
    """Which lines could not be put back, and why."""
    rows, refused = _checked(kind, lines)
    known = await _known(tx, run, kind, [row for _, row in rows])
    old_ids = [row["id"] for _, row in rows]
    is_there = await _sessions(tx, rows) if kind == "session" else {}
    if kind != "snapshots":
        new_ids = is_there | await _reserve(tx, kind, [one for one in old_ids if one not in is_there])
        known |= {(kind, old_id): new_id for old_id, new_id in new_ids.items()}
    ready = list[_Ready]()
    for number, row in rows:
        made = _made(kind, row, known)
        if made is None:
            refused.append((number, "What it belongs to is not in the export."))
        else:
            ready.append(_Ready(number, row["id"], made))
    written, failed = await _insert(tx, kind, [one for one in ready if one.old_id not in is_there])
    if kind != "snapshots":
        kept = [*(one.old_id for one in written), *is_there]
        refs = {"old_ids": kept, "new_ids": [known[kind, old_id] for old_id in kept]}
        await tx.ask(SQL.insert_refs, refs, import_id=run.id, kind=kind)
    return [*refused, *failed]


def _checked(kind: str, lines: Sequence[Line]) -> tuple[list[tuple[int, Row]], list[tuple[int, str]]]:
    rows, refused, seen = list[tuple[int, Row]](), list[tuple[int, str]](), set[int]()
    for number, line in lines:
        try:
            row = LINES[kind].model_validate(line).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            refused.append((number, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:500]))
            continue
        if row["id"] in seen:
            refused.append((number, "id: is there twice"))
            continue
        seen.add(row["id"])
        rows.append((number, row))
    return rows, refused


async def _known(tx: Tx, run: Run, kind: str, rows: Sequence[Row]) -> dict[Ref, int]:
    """What the rows that these name have become."""
    named = {ref for row in rows for ref in refs_of({name: row[name] for name in row if name != "id"})}
    if kind == "snapshots":
        named = {("subspace", row["id"]) for row in rows}
    asked = {"kinds": [one for one, _ in named], "old_ids": [old_id for _, old_id in named]}
    found = await (await tx.ask(SQL.find_refs, asked, import_id=run.id)).fetchall()
    return {(row["kind"], row["old_id"]): row["new_id"] for row in found}


async def _sessions(tx: Tx, rows: Sequence[tuple[int, Row]]) -> dict[int, int]:
    """Sessions that are here already under their own name, by their id in the export."""
    old_ids = {row["external_id"]: row["id"] for _, row in rows}
    found = await tx.ask(SQL.find_sessions, external_ids=list(old_ids))
    return {old_ids[row["external_id"]]: row["id"] for row in await found.fetchall()}


async def _reserve(tx: Tx, kind: str, old_ids: Sequence[int]) -> dict[int, int]:
    rows = await tx.ask(SQL.reserve_ids, table=f"misir.{kind}", count=len(old_ids))
    return dict(zip(old_ids, [row["id"] for row in await rows.fetchall()], strict=True))


def _made(kind: str, row: Row, known: Mapping[Ref, int]) -> Row | None:
    """The row under the new ids; None when what it needs did not come in."""
    if kind == "snapshots":
        topic_id = known.get(("subspace", row["id"]))
        return (
            None if topic_id is None else {"days": [day | {"subspace_id": topic_id} for day in row["days"]]}
        )
    made: Row = renamed({name: value for name, value in row.items() if name != "id"}, known.get)
    if any(made[name] is None for name in NEEDED.get(kind, ())):
        return None
    return made | {"id": known[kind, row["id"]]}


async def _insert(tx: Tx, kind: str, ready: Sequence[_Ready]) -> tuple[list[_Ready], list[tuple[int, str]]]:
    """All at once; where the database refuses one of them, each by itself."""
    if await _try(tx, kind, ready) is None:
        return list(ready), []
    written, failed = list[_Ready](), list[tuple[int, str]]()
    for one in ready:
        reason = await _try(tx, kind, [one])
        if reason is None:
            written.append(one)
        else:
            failed.append((one.number, reason))
    return written, failed


async def _try(tx: Tx, kind: str, ready: Sequence[_Ready]) -> str | None:
    """None: they are in. Else why not, without a word of what is in the row."""
    try:
        async with tx.savepoint():
            await _write(tx, kind, [one.row for one in ready])
    except psycopg.errors.UniqueViolation:
        return "It is there already."
    except psycopg.IntegrityError:
        return "It contradicts another row."
    except psycopg.DataError:
        return "It has a value the database cannot hold."
    return None


async def _write(tx: Tx, kind: str, rows: Sequence[Row]) -> None:
    """The rows of a kind, and those that hang on them."""
    if kind == "snapshots":
        await tx.ask(SQL.put_days, rows=Jsonb([day for row in rows for day in row["days"]]))
        return
    await tx.ask(PUT[kind], rows=Jsonb([_columns(kind, row) for row in rows]))
    if kind == "marker":
        links = [
            topic | {"marker_id": row["id"], "space_id": row["space_id"]}
            for row in rows
            for topic in row["topics"]
            if topic["subspace_id"] is not None
        ]
        await tx.ask(SQL.put_topics, rows=Jsonb(links))
    if kind == "correction":
        moves = [
            move | {"correction_id": row["id"]}
            for row in rows
            for move in row["moves"]
            if move["artifact_id"] is not None and move["space_id"] is not None
        ]
        await tx.ask(SQL.put_moves, rows=Jsonb(moves))


def _columns(kind: str, row: Row) -> Row:
    """As the table spells them."""
    if kind == "embedding":
        return row | {"vector": _vector(row["vector"])}
    return row | {"kind": row["correction"]} if kind == "correction" else row


def _vector(packed: str) -> str | None:
    """pgvector's binary form as its text form; None, which no row may have, for what is no vector."""
    try:
        return str(HalfVector.from_binary(base64.b64decode(packed, validate=True)).to_text())
    except (binascii.Error, ValueError, struct.error):
        return None

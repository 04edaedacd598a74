"""An export of ours comes back whole: every row under a new id, then every topic learned again from the log.

    check the first and last line ─▶ rows, some lines in each transaction ─▶ replay ─▶ done

The transaction that puts lines back moves the import on: a worker that dies loses and doubles nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import orjson
from pydantic import ValidationError

from misir.exports.stream import EXPORT_KIND, EXPORT_VERSION
from misir.imports.put_back import SQL, put_lines
from misir.imports.rows import LINES
from misir.imports.run import Run, set_state
from misir.imports.source import SQL as IMPORTS
from misir.imports.source import local_copy, unreadable
from misir.resources import Resources
from misir.spaces.replay import replay_space

RUN_FOR_S: Final = 20.0
N_LINES: Final = 200
MAX_BATCH: Final = 8_000_000
MAX_LINE: Final = 64 * 1024 * 1024
N_PURGED: Final = 200

Line = tuple[int, dict[str, Any]]


async def restore(res: Resources, run: Run, now: datetime) -> None:
    async with local_copy(res, run.user_id, run.id) as path:
        if run.state == "waiting":
            total = await asyncio.to_thread(_count, path, res.embedder.fingerprint)
            async with res.database.as_user(run.user_id) as tx:
                await tx.ask(IMPORTS.start_run, import_id=run.id, total=total)
        elif await _put_back(res, run, path):
            await _learn(res, run, path, now)
            await set_state(res, run, "done", now)


async def _put_back(res: Resources, run: Run, path: Path) -> bool:
    """For a while. True: everything is there."""
    started = time.monotonic()
    with path.open("rb") as file:
        batches = _batches(file, run.position)
        while lines := await asyncio.to_thread(next, batches, None):
            if not await put_lines(res, run, lines):
                return False
            if time.monotonic() - started > RUN_FOR_S:
                return False
    return True


async def _learn(res: Resources, run: Run, path: Path, now: datetime) -> None:
    """Every topic from its log, as `misir replay` does; then spaces are set aside as they were."""
    async with res.database.as_service(run.user_id) as tx:
        rows = await (await tx.ask(SQL.list_spaces, import_id=run.id)).fetchall()
    aside = await asyncio.to_thread(_set_aside, path)
    for row in rows:
        if not row["is_aside"]:  # by its owner meanwhile, or by a worker that was killed right after
            await replay_space(res, run.user_id, row["id"], now)
    async with res.database.as_service(run.user_id) as tx:
        await tx.ask(SQL.count_embeddings, space_ids=[row["id"] for row in rows])
        asked = {"import_id": run.id, "kinds": ["space"] * len(aside), "old_ids": list(aside)}
        for ref in await (await tx.ask(SQL.find_refs, asked)).fetchall():
            await tx.ask(SQL.set_aside, aside[ref["old_id"]], space_id=ref["new_id"])


# ---- the file -------------------------------------------------------------------------------------


def _lines(file: IO[bytes]) -> Iterator[Line]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        try:
            read = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise unreadable(f"Line {number} of the export is no JSON: it was cut off, or changed.") from None
        yield number, read if isinstance(read, dict) else {}


def _batches(file: IO[bytes], position: int) -> Iterator[list[Line]]:
    """Lines of one kind after `position`, N_LINES or MAX_BATCH bytes at most."""
    batch, kind, began = list[Line](), None, 0
    for number, line in _lines(file):
        if number <= position:
            began = file.tell()
            continue
        if batch and (line.get("kind") != kind or len(batch) >= N_LINES or file.tell() - began > MAX_BATCH):
            yield batch
            batch, began = [], file.tell()
        kind = line.get("kind")
        batch.append((number, line))
    if batch:
        yield batch


def _count(path: Path, model: str) -> int:
    """How many lines there are. Raises MisirError 422 for another version or model, and a file cut short."""
    number, line = 0, dict[str, Any]()
    with path.open("rb") as file:
        for number, line in _lines(file):
            if number == 1:
                _check_header(line, model)
    if line.get("kind") != "end":
        raise unreadable("The export was cut off: its last line is missing. Export it again.")
    return number


def count_kinds(path: Path, model: str) -> dict[str, int]:
    """Rows of each kind. Raises MisirError 422 as an import would."""
    _count(path, model)
    counts: dict[str, int] = {}
    with path.open("rb") as file:
        for _, line in _lines(file):
            kind = str(line.get("kind"))
            if kind in LINES:
                counts[kind] = counts.get(kind, 0) + 1
    return counts


def _check_header(line: dict[str, Any], model: str) -> None:
    if line.get("kind") != EXPORT_KIND or line.get("version") != EXPORT_VERSION:
        raise unreadable("This is no export this version of Misir can read.")
    if line.get("model") != model:
        raise unreadable(
            f"The export was made with the model {str(line.get('model'))[:200]}, this library is of {model}: "
            "name a space_id, and its pages are placed anew in that space."
        )


def _set_aside(path: Path) -> dict[int, dict[str, Any]]:
    """Since when spaces are archived or in the trash, by the ids of the export. Wrong lines were refused."""
    found = dict[int, dict[str, Any]]()
    with path.open("rb") as file:
        for _, line in _lines(file):
            if line.get("kind") == "space" and (line.get("archived_at") or line.get("deleted_at")):
                with suppress(ValidationError):
                    space = LINES["space"].model_validate(line).model_dump()
                    found[space["id"]] = {name: space[name] for name in ("archived_at", "deleted_at")}
    return found


# ---- undo -----------------------------------------------------------------------------------------


async def take_back(res: Resources, run: Run, now: datetime) -> None:
    """Its spaces go for good, in portions: the file has them still. One that was used since stays."""
    started = time.monotonic()
    async with res.database.as_service(run.user_id) as tx:
        rows = await (await tx.ask(SQL.list_untouched_spaces, import_id=run.id)).fetchall()
    space_ids = [row["id"] for row in rows]
    while time.monotonic() - started < RUN_FOR_S:
        async with res.database.as_service(run.user_id) as tx:
            gone = await tx.ask(SQL.purge_artifacts, space_ids=space_ids, limit=N_PURGED)
            await tx.ask(IMPORTS.count_undone, import_id=run.id, count=gone.rowcount)
            if gone.rowcount == 0:
                await tx.ask(SQL.purge_spaces, space_ids=space_ids)
                break
    else:
        return
    await set_state(res, run, "undone", now)

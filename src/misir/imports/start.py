"""An import begins: its file is looked at, kept, and left to the worker; or only looked at."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from misir.capture.ground import require_open
from misir.errors import MisirError, conflict, invalid, not_found
from misir.fields import MAX_ID
from misir.imports.entries import MAX_TITLE
from misir.imports.formats import Format
from misir.imports.restore import count_kinds
from misir.imports.run import FINISHED
from misir.imports.schemas import DryRun, ImportDetail, ImportList, ImportRun, Refused, Sample
from misir.imports.source import MAX_FILE, SQL, Row, keep_file, opened_source
from misir.jobs.queue import IMPORT, enqueue
from misir.orient.urls import WEB_SCHEMES, normalise_url
from misir.paging import decode_id, encode_cursor
from misir.plumbing.db import Tx
from misir.receipt import NO_RECEIPT, Receipt
from misir.resources import Resources

MAX_OPEN: Final = 5
"""Imports of one user that may wait at a time: their files are kept until they are read."""

N_SAMPLES: Final = 10
N_SHOWN: Final = 50
N_AT_ONCE: Final = 2_000
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on this machine, and what is to be done with it."""

    path: Path
    name: str
    n_bytes: int
    digest: bytes


@asynccontextmanager
async def on_disk(file: IO[bytes], name: str) -> AsyncIterator[Upload]:
    """The upload as a file, for as long as the block lasts. Raises MisirError 413, 422 for an empty one."""
    with tempfile.NamedTemporaryFile(prefix="misir-upload-") as copy:
        await asyncio.to_thread(shutil.copyfileobj, file, copy, 1024 * 1024)
        copy.flush()
        n_bytes = copy.tell()
        if n_bytes > MAX_FILE:
            raise MisirError(413, "too-large", f"The file is larger than {MAX_FILE // 1024**2} MiB.")
        if n_bytes == 0:
            raise invalid("file: is empty.")
        shown = "".join(c for c in name if c.isprintable()).encode("utf-8", "replace").decode()[-200:]
        path = Path(copy.name)
        yield Upload(path, shown or "upload", n_bytes, await asyncio.to_thread(_digest, path))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def start_import(
    res: Resources,
    user_id: uuid.UUID,
    upload: Upload,
    now: datetime,
    *,
    space_id: int | None,
    wanted: Format | None,
    is_fetching: bool,
    receipt: Receipt = NO_RECEIPT,
) -> ImportRun:
    """Keep the file and leave it to the worker, in one transaction.

    Raises MisirError: 404 unknown space, 409 archived space or MAX_OPEN waiting, 422 no format we read.
    """
    async with opened_source(upload.path, wanted) as source:
        found = source.format
    async with res.database.as_user(user_id, patience_s=PATIENCE_S) as tx:
        await receipt.open(tx)
        await _require_place(tx, space_id, found)
        row = await (await tx.ask(SQL.count_open)).fetchone()
        if row is not None and row["count"] >= MAX_OPEN:
            raise conflict(f"{MAX_OPEN} imports are not finished yet: wait for one of them, or undo it.")
        about = {"file_name": upload.name, "file_bytes": upload.n_bytes, "format": found, "now": now}
        made = await tx.ask(SQL.insert_run, about, space_id=space_id, is_fetching=is_fetching)
        import_id = (await made.fetchone() or {})["id"]
        with upload.path.open("rb") as file:
            await keep_file(tx, import_id, file)
        await enqueue(tx, None, now, kind=IMPORT)
        run = await _one(tx, import_id)
        await receipt.close(tx, 202, run)
    res.wake_worker()
    return run


async def _require_place(tx: Tx, space_id: int | None, found: str) -> None:
    if space_id is not None:
        require_open(await (await tx.ask(SQL.find_space, space_id=space_id)).fetchone())
    elif found != "misir":
        raise invalid("space_id: is missing: say which space the entries belong to.")


# ---- looking only --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """What a dry run has counted."""

    n_new: int = 0
    n_known: int = 0
    n_duplicates: int = 0
    n_skipped: int = 0
    n_without_text: int = 0
    pages: set[bytes] = field(default_factory=set)
    samples: list[Sample] = field(default_factory=list)
    skipped: list[Refused] = field(default_factory=list)


async def look_at(
    res: Resources, user_id: uuid.UUID, upload: Upload, *, space_id: int | None, wanted: Format | None
) -> DryRun:
    """What an import would do; nothing is kept. Raises MisirError as `start_import` does."""
    seen = _Seen()
    async with opened_source(upload.path, wanted) as source:
        async with res.database.as_user(user_id) as tx:
            await _require_place(tx, space_id, source.format)
        if space_id is None:
            kinds = await asyncio.to_thread(count_kinds, upload.path, res.embedder.fingerprint)
            return _answer(source.format, sum(kinds.values()), _Seen(n_new=sum(kinds.values())), kinds)
        while entries := await source.some(N_AT_ONCE):
            await _look_at_some(res, user_id, space_id, seen, entries)
    return _answer(source.format, source.total or 0, seen, {})


def _answer(found: str, total: int, seen: _Seen, kinds: dict[str, int]) -> DryRun:
    return DryRun(
        format=found,
        total=total,
        new_count=seen.n_new,
        known_count=seen.n_known,
        duplicate_count=seen.n_duplicates,
        skipped_count=seen.n_skipped,
        without_text_count=seen.n_without_text,
        samples=seen.samples,
        skipped=seen.skipped,
        contents=kinds,
    )


async def _look_at_some(
    res: Resources, user_id: uuid.UUID, space_id: int, seen: _Seen, entries: Sequence[tuple[int, Row]]
) -> None:
    pages = dict[int, bytes]()
    for position, row in entries:
        reason = row.get("reason")
        if reason is None:
            try:
                pages[position] = hashlib.sha256(normalise_url(row["url"]).encode()).digest()
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            seen.n_skipped += 1
            if len(seen.skipped) < N_SHOWN:
                shown = Refused(position=position, outcome="skipped", url=row.get("url"), reason=reason)
                seen.skipped.append(shown)
    async with res.database.as_user(user_id) as tx:
        found = await tx.ask(SQL.find_known, space_id=space_id, hashes=list(pages.values()))
        known = {row["url_hash"] for row in await found.fetchall()}
    for position, row in entries:
        if position in pages:
            _count(seen, row, pages[position], is_known=pages[position] in known)


def _count(seen: _Seen, row: Row, page: bytes, *, is_known: bool) -> None:
    is_first = page not in seen.pages
    seen.pages.add(page)
    seen.n_duplicates += not is_first
    seen.n_known += is_first and is_known
    seen.n_new += is_first and not is_known
    is_web = str(row["url"]).partition(":")[0].lower() in WEB_SCHEMES
    seen.n_without_text += is_first and is_web and "content" not in row
    if len(seen.samples) < N_SAMPLES:
        title = row.get("title") or None
        seen.samples.append(
            Sample(
                url=row["url"],
                title=title and title[:MAX_TITLE],
                captured_at=row.get("at"),
                has_text="content" in row,
                is_known=is_known,
            )
        )


# ---- afterwards ----------------------------------------------------------------------------------


async def list_imports(res: Resources, user_id: uuid.UUID, *, limit: int, cursor: str | None) -> ImportList:
    asked = {"import_id": None, "before_id": decode_id(cursor), "limit": limit + 1}
    async with res.database.as_user(user_id) as tx:
        rows = await (await tx.ask(SQL.list_runs, asked)).fetchall()
    runs = [_run(row) for row in rows[:limit]]
    return ImportList(imports=runs, next_cursor=encode_cursor(runs[-1].id) if len(rows) > limit else None)


async def get_import(
    res: Resources,
    user_id: uuid.UUID,
    import_id: int,
    *,
    limit: int = 50,
    cursor: str | None = None,
    outcome: str | None = None,
) -> ImportDetail:
    """404 unknown import."""
    after = min(decode_id(cursor) or 0, 2**31 - 1)
    async with res.database.as_user(user_id) as tx:
        run = await _one(tx, import_id)
        asked = {"import_id": import_id, "after": after, "outcome": outcome, "limit": limit + 1}
        rows = await (await tx.ask(SQL.list_refused, asked)).fetchall()
    refused = [Refused(**row) for row in rows[:limit]]
    next_cursor = encode_cursor(refused[-1].position) if len(rows) > limit else None
    return ImportDetail(**run.model_dump(), refused=refused, next_cursor=next_cursor)


async def undo_import(res: Resources, user_id: uuid.UUID, import_id: int, now: datetime) -> ImportRun:
    """Stop it, and leave taking back what it brought to the worker. Twice is as good as once. 404 unknown."""
    async with res.database.as_user(user_id) as tx:
        was = ["waiting", "running", "fetching", *sorted(FINISHED - {"undone"})]
        asked = {"import_id": import_id, "state": "undoing", "was": was, "error": None}
        await tx.ask(SQL.set_state, asked, now=now)
        await enqueue(tx, None, now, kind=IMPORT)
        run = await _one(tx, import_id)
    res.wake_worker()
    return run


async def _one(tx: Tx, import_id: int) -> ImportRun:
    asked = {"import_id": min(import_id, MAX_ID), "before_id": None, "limit": 1}
    row = await (await tx.ask(SQL.list_runs, asked)).fetchone()
    if row is None:
        raise not_found("The import")
    return _run(row)


def _run(row: dict[str, Any]) -> ImportRun:
    return ImportRun(
        **{name: value for name, value in row.items() if name != "is_fetching"}, fetch=row["is_fetching"]
    )

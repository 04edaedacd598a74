"""The job `import`: a user's files, one after the other, entry by entry.

    read some entries ─▶ capture them, each noted in the very transaction ─▶ count them and move on

A worker that dies is followed by another, which reads on from the last count: what was captured in between
is captured again as the same event, which adds nothing, and its note is there already.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from misir.capture.batch import capture_batch
from misir.capture.schemas import Captured
from misir.errors import MisirError, unavailable
from misir.imports.restore import restore, take_back
from misir.imports.run import Run, set_state
from misir.imports.source import SQL, Row, Source, local_copy, opened_source
from misir.imports.texts import fetch_texts
from misir.imports.undo import undo
from misir.orient.urls import WEB_SCHEMES
from misir.plumbing.db import Tx
from misir.resources import Resources

RUN_FOR_S: Final = 20.0
"""After that long another user's import gets its turn."""

N_AT_ONCE: Final = 100
TRY_AGAIN: Final = timedelta(seconds=10)
"""How soon to see whether the database and the model are back."""


async def work_import(res: Resources, user_id: uuid.UUID, now: datetime) -> datetime | None:
    """A while of the user's oldest unfinished import; the answer is when to go on, or None."""
    async with res.database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.find_work)).fetchone()
    if row is None:
        return None
    run = Run(user_id=user_id, **row)
    try:
        await _step_of(run)(res, run, now)
    except MisirError as refusal:
        if refusal.status == 503:
            return now + TRY_AGAIN
        await set_state(res, run, "failed", now, error=refusal.detail)
    return now


def _step_of(run: Run) -> Callable[[Resources, Run, datetime], Awaitable[None]]:
    if run.is_restore:
        return take_back if run.state == "undoing" else restore
    return {"waiting": _count, "running": _take_in, "fetching": _fetch, "undoing": undo}[run.state]


async def _count(res: Resources, run: Run, _: datetime) -> None:
    """Read it once to its end: a file that breaks off is refused before anything of it comes in."""
    async with local_copy(res, run.user_id, run.id) as path, opened_source(path, run.format) as source:
        while await source.some(10 * N_AT_ONCE):
            pass
    async with res.database.as_user(run.user_id) as tx:
        await tx.ask(SQL.start_run, import_id=run.id, total=source.total)


async def _take_in(res: Resources, run: Run, now: datetime) -> None:
    """Without a model it waits: an import has time, and its pages shall not fill the queue of captures."""
    await res.embedder.load()
    started = time.monotonic()
    async with (
        local_copy(res, run.user_id, run.id) as path,
        opened_source(path, run.format, run.position) as source,
    ):
        while time.monotonic() - started < RUN_FOR_S:
            if not await _take_some(res, run, source, now):
                return


async def _take_some(res: Resources, run: Run, source: Source, now: datetime) -> bool:
    """The next entries. False: it was the last, or somebody stopped the import."""
    was_at = source.position
    entries = await source.some(N_AT_ONCE)
    if not entries:
        await set_state(res, run, "fetching" if run.is_fetching else "done", now)
        return False
    wanted = [(position, row) for position, row in entries if "reason" not in row]
    noting = _Noting(run.id, wanted)
    bodies = [_body(run, row) for _, row in wanted]
    tags = {index: {"tags": row["tags"]} for index, (_, row) in enumerate(wanted) if "tags" in row}
    answer = await capture_batch(res, run.user_id, bodies, now, noting.note, abouts=tags)
    if any(one.status == 503 for one in answer.failed):
        raise unavailable(
            "The model went away, or a page is being changed by others: the entries are read again."
        )
    skipped = [(at, "skipped", row.get("url"), row["reason"]) for at, row in entries if "reason" in row]
    failed = [(wanted[one.index][0], "failed", one.url, one.error) for one in answer.failed]
    async with res.database.as_user(run.user_id) as tx:
        await _note_refused(tx, run.id, [*skipped, *failed])
        position = {"was_at": was_at, "position": source.position}
        moved = await tx.ask(SQL.move_on, position, import_id=run.id)
        return await moved.fetchone() is not None


@dataclass(frozen=True, slots=True)
class _Noting:
    """Which entry of the file each item of a batch is."""

    import_id: int
    wanted: Sequence[tuple[int, Row]]

    async def note(self, tx: Tx, taken: Sequence[tuple[int, Captured]]) -> None:
        """In the transaction that takes them in."""
        await tx.ask(
            SQL.insert_taken,
            import_id=self.import_id,
            positions=[self.wanted[index][0] for index, _ in taken],
            outcomes=["new" if captured.is_new else "known" for _, captured in taken],
            artifact_ids=[captured.artifact_id for _, captured in taken],
            signal_ids=[captured.signal_id for _, captured in taken],
            need_text=[_needs_text(self.wanted[index][1]) for index, _ in taken],
        )


def _needs_text(row: Row) -> bool:
    return "content" not in row and str(row["url"]).partition(":")[0].lower() in WEB_SCHEMES


async def _note_refused(tx: Tx, import_id: int, refused: Sequence[tuple[int, str, Any, str]]) -> None:
    if refused:
        positions, outcomes, urls, errors = zip(*refused, strict=True)
        columns = {
            "positions": list(positions),
            "outcomes": list(outcomes),
            "urls": list(urls),
            "errors": list(errors),
        }
        await tx.ask(SQL.insert_refused, columns, import_id=import_id)


def _body(run: Run, row: Row) -> dict[str, Any]:
    """The entry as a capture. What has no time of its own happened when the import began: always the same."""
    body = {
        "space_id": run.space_id,
        "url": row.get("url", ""),
        "title": row.get("title") or (None if "content" in row else row.get("url")),
        "content": row.get("content"),
        "captured_at": row.get("at") or run.occurred_at,
        "scroll_depth": row.get("scroll", 0.0),
    }
    return body | ({"content_source": row["source"]} if "source" in row else {})


async def _fetch(res: Resources, run: Run, now: datetime) -> None:
    started = time.monotonic()
    while time.monotonic() - started < RUN_FOR_S:
        if not await fetch_texts(res, run):
            await set_state(res, run, "done", now)
            return

"""One import as the worker sees it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from misir.imports.source import SQL
from misir.resources import Resources

FINISHED: Final = {"done", "failed", "undone"}


@dataclass(frozen=True, slots=True)
class Run:
    id: int
    user_id: uuid.UUID
    space_id: int | None
    format: str
    is_fetching: bool
    state: str
    total: int | None
    position: int
    occurred_at: datetime

    @property
    def is_restore(self) -> bool:
        """An export of ours without a space to put it in brings its own."""
        return self.format == "misir" and self.space_id is None


async def set_state(res: Resources, run: Run, state: str, now: datetime, *, error: str | None = None) -> None:
    """From the state `run` was read in, unless somebody changed it since; the file goes with the end."""
    async with res.database.as_user(run.user_id) as tx:
        asked = {"import_id": run.id, "state": state, "was": [run.state], "error": error}
        changed = await (await tx.ask(SQL.set_state, asked, now=now)).fetchone()
        if changed is not None and state in FINISHED:
            await tx.ask(SQL.forget_file, import_id=run.id)
